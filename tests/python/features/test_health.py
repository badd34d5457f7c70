"""Health as the models see it: what ingest did not accept still speaks against its symbol."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from python.features.landed import bars, describe
from python.features.pipeline import Pipeline

ADA, DONOR = "BINANCE:ADAUSDT", "BINANCE:BCHUSDT"
LAST = datetime(2025, 2, 28)


def market(*, ada_until: datetime) -> Pipeline:
    """Two coins, one of which has bars up to a day alone."""
    pipeline = Pipeline()
    for symbol, base, until in ((ADA, "ADA", ada_until), (DONOR, "BCH", LAST)):
        describe(pipeline, symbol, type="spot", base_currency=base, currency="USDT")
        bars(pipeline, symbol, until=until, wiggle=0.01)
    return pipeline


def find(pipeline: Pipeline, code: str, severity: str = "reject", **changes: Any) -> None:
    """Land one finding about the bar of the last day."""
    row = {
        "load_id": "late", "symbol": ADA, "code": code, "severity": severity, "opened_at_utc": LAST, "close": 526.06,
        "value": 1576.39, "donor_symbol": None, "detail": "found", "detected_at_utc": datetime(2025, 3, 1, 0, 10),
    }  # fmt: skip
    pipeline.land("raw.findings", [{**row, **changes}])


def verdicts(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    """ADA's last two verdicts."""
    pipeline.build("symbol_health")
    return pipeline.ask(
        "select verdict, reasons from symbol_health where symbol = ? order by as_of_date desc limit 2", ADA
    )


def test_a_rejected_spike_makes_its_symbol_toxic_on_that_session_and_not_before() -> None:
    """F-1: no contaminated bar is accepted, so nothing but the finding tells of it."""
    pipeline = market(ada_until=datetime(2025, 2, 27))
    find(pipeline, "TOXIC_RETURN")
    find(pipeline, "CROSS_LEVEL", donor_symbol=DONOR, value=0.001)
    (last, before) = verdicts(pipeline)
    assert (last[0], before) == ("TOXIC", ("OK", ""))
    assert pipeline.ask("select code, donor_symbol, is_resolved from bar_spikes where symbol = ? order by 1", ADA) == [
        ("CROSS_LEVEL", DONOR, False),
        ("TOXIC_RETURN", None, False),
    ]


@pytest.mark.parametrize(("code", "severity"), [("SUSPECT_DROP", "quarantine"), ("IMPOSSIBLE", "quarantine")])
def test_a_bar_that_waits_in_quarantine_makes_its_symbol_toxic(code: str, severity: str) -> None:
    pipeline = market(ada_until=datetime(2025, 2, 27))
    find(pipeline, code, severity)
    assert verdicts(pipeline)[0][0] == "TOXIC"


def test_an_accepted_bar_of_the_session_settles_what_was_found_there() -> None:
    pipeline = market(ada_until=LAST)
    find(pipeline, "TOXIC_RETURN")
    assert [verdict for verdict, _ in verdicts(pipeline)] == ["OK", "OK"]
    assert pipeline.ask("select code, is_resolved from bar_spikes where symbol = ?", ADA) == [("TOXIC_RETURN", True)]


@pytest.mark.parametrize(("status", "verdict"), [("TOXIC", "TOXIC"), ("STABLE", "OK")])
def test_a_stored_twin_is_toxic_until_its_symbol_was_verified(status: str, verdict: str) -> None:
    pipeline = market(ada_until=LAST)
    find(pipeline, "DUPLICATE_ROW", "warning", donor_symbol=DONOR)
    row = {"symbol": ADA, "status": status, "last_attempt_utc": LAST, "consecutive_failures": 0}
    pipeline.land("ops.symbol_registry", [row])
    assert verdicts(pipeline)[0][0] == verdict


@pytest.mark.parametrize(("code", "severity"), [("EXTREME", "warning"), ("VOLUME_SPIKE", "info")])
def test_information_is_no_verdict(code: str, severity: str) -> None:
    pipeline = market(ada_until=datetime(2025, 2, 27))
    find(pipeline, code, severity)
    assert verdicts(pipeline)[0][0] == "STALE"


def test_a_close_that_stands_still_degrades_a_coin_and_not_a_dollar() -> None:
    pipeline = Pipeline()
    for base, close in (("USDC", 1.0), ("ADA", 0.5)):
        describe(pipeline, f"BINANCE:{base}USDT", type="spot", base_currency=base, currency="USDT")
        bars(pipeline, f"BINANCE:{base}USDT", until=LAST, close=close)
    pipeline.build("symbol_health")
    assert pipeline.ask("select symbol, verdict, reasons from symbol_health where as_of_date = ? order by 1", LAST) == [
        ("BINANCE:ADAUSDT", "DEGRADED", "STALL:39"),
        ("BINANCE:USDCUSDT", "OK", "STALL:39"),
    ]
