"""What a source gives back: bytes with their provenance, and the rows that can be read from them.

Fetching and reading are two steps. `fetch` talks to the network and returns an `Answer`; the landing keeps its bytes;
a reader (`READERS`) turns the kept bytes into rows, today and at every rebuild, without a network and without a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

AnswerKind = Literal["scan", "bars", "symbol_metadata", "execution_limits", "vendor_features", "corporate_actions"]

# complete: everything asked for arrived · partial: some of it, the rest is missing · empty: the source has none ·
# unknown_symbol: the source does not know what was asked · failed: nothing usable arrived
AnswerState = Literal["complete", "partial", "empty", "unknown_symbol", "failed"]


@dataclass(frozen=True)
class Attempt:
    """One try at one request: when, how long in seconds, what came (HTTP status or protocol event), why it failed."""

    started_at: datetime
    seconds: float
    status: int | None
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Answer:
    """What one request to a source brought.

    `request` is what was asked, as plain JSON values without times of day, addresses or secrets: its hash tells equal
    requests apart from different ones. `origin` is the address without query secrets. `payload` are the bytes as
    received, or an envelope around several bodies that keeps each of them as it was; it is None where nothing arrived,
    and the first 2 kB of what arrived where `state` is failed. `code` and `error` say what is wrong where `state` is
    not complete. `counters` are facts of the transport, such as `ws_foreign_packets`. Times are aware.
    """

    kind: AnswerKind
    source: str
    origin: str
    request: Mapping[str, Any]
    state: AnswerState
    payload: bytes | None
    extension: str
    started_at: datetime
    received_at: datetime
    attempts: tuple[Attempt, ...] = ()
    code: str | None = None
    error: str | None = None
    counters: Mapping[str, int] = field(default_factory=dict)


Reader = Callable[[bytes, Mapping[str, Any]], "pa.Table"]

# Columns of a table that a reader of bars returns, all text but `row_number`: a value that is no number is judged and
# kept, not lost at the border. `opened_at` is an epoch number as text (seconds, milliseconds or microseconds) or an ISO
# date; a missing value is NULL. `row` is the row as received, JSON text.
BAR_COLUMNS = (
    "row_number",
    "symbol",
    "opened_at",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "row",
)

# Columns of the tables of the other kinds: `row` is the row as received, JSON text (an object by field name), `symbol`
# as the source wrote it, `code` and `detail` say why a row cannot be used (NULL where it can).
ROW_COLUMNS = ("row_number", "symbol", "row", "code", "detail")
