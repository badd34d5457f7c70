"""Answers as sources give them, made of rows that a test states."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.answers import Answer, AnswerKind, AnswerState
from ingest.sources.common import pages_payload

RECEIVED = datetime(2024, 3, 28, 0, 10, tzinfo=UTC)
DAY = timedelta(days=1)

Bar = Sequence[float]


def closes(
    values: Sequence[float], *, last: datetime = datetime(2024, 3, 27, tzinfo=UTC), volume: float = 10.0
) -> list[list[Any]]:
    """Return daily klines with these closes, the last of which opens at `last`."""
    first = last - DAY * (len(values) - 1)
    return [
        [
            int((first + DAY * n).timestamp() * 1000),
            str(value), str(value * 1.01), str(value * 0.99), str(value), str(volume + 0.25 * n), 0,
            str(value * volume),
        ]
        for n, value in enumerate(values)
    ]  # fmt: skip


def steady(start: float, count: int = 60, step: float = 0.001) -> list[float]:
    """Return closes that rise by `step` a day."""
    return [round(start * (1 + step) ** n, 8) for n in range(count)]


def klines(
    symbol: str,
    rows: Iterable[Any],
    *,
    received_at: datetime = RECEIVED,
    state: AnswerState = "complete",
    code: str | None = None,
    error: str | None = None,
    source: str = "binance",
    **request: Any,
) -> Answer:
    """Return an answer with klines; `rows` are as Binance writes them."""
    given = list(rows)
    has_payload = state in ("complete", "partial")
    return Answer(
        kind="bars",
        source=source,
        origin="http://127.0.0.1/api/v3/klines",
        request={"symbol": symbol, "interval": "1d", "adjustment": "none", "market": "spot", "count": 500, **request},
        state=state,
        payload=pages_payload([({"page": 1}, json.dumps(given).encode())]) if has_payload else None,
        extension="json",
        started_at=received_at - timedelta(seconds=1),
        received_at=received_at,
        code=code,
        error=error,
    )


def lookup(
    kind: AnswerKind, rows: Mapping[str, Mapping[str, Any]], *, received_at: datetime = RECEIVED, **changes: Any
) -> Answer:
    """Return an answer of the scanner's interface with these fields by symbol; `changes` replace its parts."""
    columns = sorted({name for values in rows.values() for name in values})
    body = {
        "totalCount": len(rows),
        "data": [{"s": symbol, "d": [values.get(name) for name in columns]} for symbol, values in rows.items()],
    }
    parts: dict[str, Any] = {
        "kind": kind,
        "source": "tradingview",
        "origin": "http://127.0.0.1/crypto/scan",
        "request": {"market": "crypto", "columns": columns, "tickers": sorted(rows)},
        "state": "complete" if rows else "empty",
        "payload": pages_payload([({"range": [0, len(rows)]}, json.dumps(body).encode())]),
        "extension": "json",
        "started_at": received_at,
        "received_at": received_at,
    }
    return Answer(**{**parts, **changes})
