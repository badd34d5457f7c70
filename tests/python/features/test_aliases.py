"""The history of a renamed symbol in the models: joined where it is proven, and only up to its own first bar."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from python.features.landed import describe
from python.features.pipeline import Pipeline

FIRST = datetime(2024, 1, 1)
DAY = timedelta(days=1)


def bars(pipeline: Pipeline, symbol: str, first: int, count: int, level: float, **more: Any) -> None:
    pipeline.land(
        "raw.bars",
        [
            {
                "load_id": f"load-{symbol}", "source": "binance", "symbol": symbol, "interval": "1d",
                "adjustment": "none", "opened_at_utc": FIRST + n * DAY, "close": level + n, "volume": 1.0,
                "is_final": True, "received_at_utc": FIRST + 100 * DAY, **more,
            }
            for n in range(first, first + count)
        ],
    )  # fmt: skip


def alias(pipeline: Pipeline, old: str, new: str, *, verdict: str = "JOINED", load_id: str = "a") -> None:
    payload = {
        "symbol": old, "new_symbol": new, "renamed_on": "2024-01-11", "verdict": verdict, "code": "ALIAS_OVERLAP",
        "adjustments": ["none"] if verdict == "JOINED" else [], "detail": "test",
    }  # fmt: skip
    row = {"load_id": load_id, "row_number": 1, "symbol": old, "payload": payload, "received_at_utc": FIRST}
    pipeline.land("raw.symbol_aliases", [row])


def market(*symbols: str) -> Pipeline:
    pipeline = Pipeline()
    for symbol in symbols:
        describe(pipeline, symbol, type="spot", base=symbol[8:-4], quote="USDT", at=FIRST + 50 * DAY, load_id=symbol)
    return pipeline


OLD, NEW, NEWEST = "BINANCE:OLDUSDT", "BINANCE:NEWUSDT", "BINANCE:NEWESTUSDT"


def closes(pipeline: Pipeline, symbol: str) -> list[tuple[Any, ...]]:
    return pipeline.ask(
        "select session_date - date '2024-01-01', close, landed_symbol from session_bars where symbol = ? order by 1",
        symbol,
    )


def test_sessions_before_the_first_own_bar_are_those_of_the_earlier_name() -> None:
    pipeline = market(OLD, NEW)
    bars(pipeline, OLD, 0, 12, 100.0)
    bars(pipeline, NEW, 10, 5, 500.0)
    alias(pipeline, OLD, NEW)
    pipeline.build("session_bars", "daily_returns")
    assert closes(pipeline, NEW) == [
        *((n, 100.0 + n, OLD) for n in range(10)),
        *((n, 500.0 + n, NEW) for n in range(10, 15)),
    ]
    # the earlier name keeps what it has, to its end
    assert closes(pipeline, OLD) == [(n, 100.0 + n, OLD) for n in range(12)]
    assert pipeline.ask("select count(*) from daily_returns where symbol = ?", NEW) == [(14,)]
    # a join by time finds the symbol in its joined past too
    assert pipeline.ask("select valid_from from symbols where symbol = ?", NEW) == [(FIRST,)]


def test_a_later_word_on_where_the_earlier_name_lists_parts_no_history() -> None:
    pipeline = market(OLD, NEW)
    bars(pipeline, OLD, 0, 10, 100.0)
    bars(pipeline, NEW, 10, 5, 500.0)
    alias(pipeline, OLD, NEW)
    alias(pipeline, OLD, NEWEST, verdict="LISTED_AS", load_id="b")
    pipeline.build("session_bars")
    assert len(closes(pipeline, NEW)) == 15


def test_histories_without_a_proof_and_with_a_withdrawn_one_stay_apart() -> None:
    for later in ("SEPARATE", "WITHDRAWN"):
        pipeline = market(OLD, NEW)
        bars(pipeline, OLD, 0, 10, 100.0)
        bars(pipeline, NEW, 10, 5, 110.0)
        alias(pipeline, OLD, NEW)
        alias(pipeline, OLD, NEW, verdict=later, load_id="b")
        pipeline.build("session_bars")
        assert [day for day, *_ in closes(pipeline, NEW)] == list(range(10, 15))


def test_a_chain_of_names_is_one_history_and_a_proof_of_prices_says_nothing_of_total_returns() -> None:
    pipeline = market(OLD, NEW, NEWEST)
    bars(pipeline, OLD, 0, 12, 100.0)
    bars(pipeline, OLD, 0, 12, 50.0, adjustment="total_return")
    bars(pipeline, NEW, 10, 12, 100.0)
    bars(pipeline, NEWEST, 20, 5, 100.0)
    alias(pipeline, OLD, NEW)
    alias(pipeline, NEW, NEWEST)
    pipeline.build("session_bars")
    names = [OLD] * 10 + [NEW] * 10 + [NEWEST] * 5
    assert closes(pipeline, NEWEST) == [(n, 100.0 + n, name) for n, name in enumerate(names)]
    assert pipeline.ask(
        "select count(*) from bar_verdicts where symbol = ? and adjustment = 'total_return'", NEWEST
    ) == [(0,)]
