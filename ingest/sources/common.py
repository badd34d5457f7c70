"""What the sources share: the request for bars, the envelope around several bodies, tables of rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from quantmill.errors import BadValue, DataContractError

from ingest.answers import BAR_COLUMNS, ROW_COLUMNS, Answer, AnswerKind, AnswerState
from ingest.bars import ADJUSTMENTS, INTERVALS
from ingest.exchanges import SYMBOL
from ingest.landing import canonical_json
from ingest.transport import PREFIX_BYTES, Reply, Transport

if TYPE_CHECKING:
    import pyarrow as pa

SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "W": 604_800, "M": 2_678_400}

# A row that the service sent twice in one answer: it is the same thing as an earlier row of it and no fault.
REPEATED = "REPEATED"


@dataclass(frozen=True)
class BarRequest:
    """Bars of one symbol: the last `count` of length `interval` that have begun by `until` (aware).

    `adjustment` is none, splits or total_return; which of them a source has is its own affair.
    """

    symbol: str
    count: int
    until: datetime
    interval: str = "1d"
    adjustment: str = "splits"

    def __post_init__(self) -> None:
        require_symbol(self.symbol)
        if self.interval not in INTERVALS:
            raise BadValue(
                f"the interval of {self.symbol} is {self.interval!r}; needs one of {', '.join(INTERVALS)}",
                remedy="correct the request",
            )
        if self.adjustment not in ADJUSTMENTS:
            raise BadValue(
                f"the adjustment of {self.symbol} is {self.adjustment!r}; needs one of {', '.join(ADJUSTMENTS)}",
                remedy="correct the request",
            )
        if self.count < 1 or self.until.tzinfo is None:
            raise BadValue(
                f"{self.symbol}: {self.count} bars until {self.until} asked; needs 1 or more and a time with zone",
                remedy="correct the request",
            )

    @property
    def since(self) -> datetime:
        """The moment before which none of the `count` bars can begin, were there no session missing."""
        length = timedelta(seconds=interval_seconds(self.interval))
        return self.until.astimezone(UTC) - self.count * length


def interval_seconds(interval: str) -> int:
    """Return the longest time that a bar can last, in seconds."""
    return int(interval[:-1]) * SECONDS[interval[-1]]


def require_symbol(symbol: str) -> str:
    """Return a symbol as it is. Raises `BadValue` unless it is EXCHANGE:TICKER."""
    if not SYMBOL.match(symbol) or not SYMBOL.fullmatch(symbol):
        raise BadValue(f"the symbol is {symbol!r}; needs EXCHANGE:TICKER in capitals", remedy="correct the symbol")
    return symbol


def pages_payload(pages: Sequence[tuple[Mapping[str, Any], bytes]]) -> bytes:
    """Return one envelope around several bodies, each kept as it was received beside what it answers."""
    entries = [{"asked": dict(asked), "body": body.decode("utf-8")} for asked, body in pages]
    return canonical_json({"format": 1, "pages": entries}).encode()


def read_pages(payload: bytes) -> list[tuple[dict[str, Any], Any]]:
    """Return what each body of an envelope answers, and its JSON value, in order of asking.

    Raises `DataContractError` when the payload is no envelope of JSON bodies.
    """
    try:
        envelope = json.loads(payload)
        return [(page["asked"], json.loads(page["body"])) for page in envelope["pages"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataContractError(
            f"the payload is no envelope of JSON bodies: {type(error).__name__}: {error}",
            remedy="it was not written by this source; ask the source again",
        ) from error


def row_table(rows: Sequence[tuple[str | None, Any, str | None, str | None]]) -> pa.Table:
    """Return rows (symbol, value as received, code, detail) as a table of `ROW_COLUMNS`, numbered from 1."""
    import pyarrow as pa

    return pa.table(
        {
            "row_number": pa.array(range(1, len(rows) + 1), pa.int64()),
            "symbol": pa.array([row[0] for row in rows], pa.string()),
            "row": pa.array([row_text(row[1]) for row in rows], pa.string()),
            "code": pa.array([row[2] for row in rows], pa.string()),
            "detail": pa.array([row[3] for row in rows], pa.string()),
        }
    ).select(list(ROW_COLUMNS))


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def row_text(value: Any) -> str:
    """Return a received value as JSON text that any reader of JSON takes: lone surrogates and NaN are spelled out."""
    try:
        text = _encode(value)
        text.encode()
    except ValueError:
        return json.dumps(_spelled(value), separators=(",", ":"), allow_nan=False)
    return text


def _spelled(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_spelled(name): _spelled(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_spelled(part) for part in value]
    return value


def bar_table(symbol: str, columns: Mapping[str, Sequence[str | None] | pa.Array], rows: Sequence[str]) -> pa.Table:
    """Return bars as a table of `BAR_COLUMNS`; columns that a source does not have are NULL.

    A column is a sequence of text or an Arrow array of it.
    """
    import pyarrow as pa

    count = len(rows)
    arrays = {
        name: values if isinstance(values, pa.Array) else pa.array(values, pa.string())
        for name, values in columns.items()
    }
    arrays["row_number"] = pa.array(range(1, count + 1), pa.int64())
    arrays["symbol"] = pa.array([symbol] * count, pa.string())
    arrays["row"] = pa.array(rows, pa.string())
    return pa.table({name: arrays.get(name, pa.nulls(count, pa.string())) for name in BAR_COLUMNS})


def value_text(value: Any) -> str | None:
    """Return a JSON value of a bar as text: numbers in shortest form, NULL for null, other values as JSON."""
    if value is None or isinstance(value, str):
        return value if value is None else value.encode("utf-8", "replace").decode()
    return row_text(value)


def answer(
    transport: Transport,
    kind: AnswerKind,
    request: Mapping[str, Any],
    *,
    path: str,
    state: AnswerState,
    started_at: datetime,
    replies: Sequence[Reply],
    payload: bytes | None,
    extension: str = "json",
    code: str | None = None,
    error: str | None = None,
    counters: Mapping[str, int] | None = None,
) -> Answer:
    """Return the answer to one request over HTTP, with the attempts of all its replies."""
    return Answer(
        kind=kind,
        source=transport.source,
        origin=f"{transport.origin}{path}",
        request=request,
        state=state,
        payload=payload,
        extension=extension,
        started_at=started_at,
        received_at=transport.clock(),
        attempts=tuple(attempt for reply in replies for attempt in reply.attempts),
        code=code,
        error=error,
        counters=dict(counters or {}),
    )


def failed(
    transport: Transport,
    kind: AnswerKind,
    request: Mapping[str, Any],
    *,
    path: str,
    started_at: datetime,
    replies: Sequence[Reply],
    code: str | None = None,
    error: str | None = None,
    state: AnswerState = "failed",
    counters: Mapping[str, int] | None = None,
) -> Answer:
    """Return the answer to a request whose last reply is of no use; what arrived of it is kept, 2 kB of it."""
    last = replies[-1]
    return answer(
        transport,
        kind,
        request,
        path=path,
        state=state,
        started_at=started_at,
        replies=replies,
        payload=last.body[:PREFIX_BYTES] or None,
        extension="txt",
        code=code or last.code,
        error=error or last.error,
        counters=counters,
    )
