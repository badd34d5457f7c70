"""Bars of two sources in the models: the alternate one fills what is missing, and total returns do not mix."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from python.features.landed import describe
from python.features.pipeline import Pipeline
from quantmill.manifest.acquisition import load_acquisition
from quantmill.manifest.files import read_mapping

ROOT = Path(__file__).resolve().parents[3]
FUND, FIRST, DAY = "AMEX:SPY", datetime(2024, 1, 8, 14, 30), timedelta(days=1)


def land(pipeline: Pipeline, source: str, level: float, days: range, *, adjustment: str, received: int) -> None:
    pipeline.land(
        "raw.bars",
        [
            {
                "load_id": f"{source}-{adjustment}", "source": source, "symbol": FUND, "interval": "1d",
                "adjustment": adjustment, "opened_at_utc": FIRST + n * DAY, "close": level * 1.25**n, "volume": 1.0,
                "is_final": True, "received_at_utc": FIRST + received * DAY,
            }
            for n in days
        ],
    )  # fmt: skip


def test_an_alternate_source_fills_what_the_first_one_lacks_and_supersedes_nothing() -> None:
    pipeline = Pipeline()
    describe(pipeline, FUND, type="fund", at=FIRST + 30 * DAY)
    land(pipeline, "tradingview", 100.0, range(3), adjustment="splits", received=10)
    land(pipeline, "tradingview", 80.0, range(3), adjustment="total_return", received=10)
    # the repair landed the whole history of another source later
    land(pipeline, "yahoo", 100.001, range(5), adjustment="splits", received=20)
    land(pipeline, "yahoo", 60.0, range(5), adjustment="total_return", received=20)
    pipeline.build("bar_verdicts", "daily_returns")
    verdicts = pipeline.ask("""
        select source, verdict, count(*) from bar_verdicts where adjustment = 'splits' group by all order by all
    """)
    assert verdicts == [("tradingview", "ACCEPTED", 3), ("yahoo", "ACCEPTED", 2), ("yahoo", "SUPERSEDED", 3)]
    found: list[tuple[Any, ...]] = pipeline.ask("""
        select round(simple_return, 4), is_total_return from daily_returns order by session_date
    """)
    # 60 beside 80 would be a fall of a quarter: at the seam the price says what happened
    assert found == [(0.25, True), (0.25, True), (0.25, False), (0.25, True)]


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "manifest" / "profiles").glob("*.yml")))
def test_the_sources_of_every_profile_stand_in_the_order_in_which_the_models_take_them(profile: str) -> None:
    macro = (ROOT / "macros" / "market_day.sql").read_text(encoding="utf-8")
    places = {name: macro.index(f"'{name}' then") for name in ("binance_bulk", "binance", "tradingview", "yahoo")}
    sources = read_mapping(ROOT / "manifest" / "defaults.yml")["acquisition"]["bar_sources"]
    if profile != "sample":
        sources = load_acquisition(ROOT / "manifest", profile, overrides={}, environment={}).bar_sources
    assert list(sources) == sorted(sources, key=places.__getitem__), "an alternate source would supersede the first"
