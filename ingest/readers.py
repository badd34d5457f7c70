"""Which reader turns the kept bytes of an answer into rows, and whether so many bad rows make the answer one.

Readers are pure: the same bytes and the same request give the same table, today and at a rebuild.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantmill.errors import UsageError

from ingest.answers import AnswerKind, Reader
from ingest.sources import binance, binance_bulk, tradingview_scanner, tradingview_socket, yahoo
from ingest.sources.common import REPEATED

if TYPE_CHECKING:
    import pyarrow as pa

READERS: Mapping[tuple[AnswerKind, str], Reader] = {
    ("scan", "tradingview"): tradingview_scanner.read_scan,
    ("symbol_metadata", "tradingview"): tradingview_scanner.read_fields,
    ("vendor_features", "tradingview"): tradingview_scanner.read_fields,
    ("bars", "tradingview"): tradingview_socket.read_bars,
    ("bars", "binance"): binance.read_klines,
    ("execution_limits", "binance"): binance.read_limits,
    ("bars", "binance_bulk"): binance_bulk.read_archive,
    ("bars", "yahoo"): yahoo.read_chart,
    ("corporate_actions", "yahoo"): yahoo.read_actions,
}
BAD_SHARE = 0.05


def read(kind: AnswerKind, source: str, payload: bytes, request: Mapping[str, Any]) -> pa.Table:
    """Return the rows of a payload: `BAR_COLUMNS` for bars, else `ROW_COLUMNS`.

    Raises `UsageError` for a source without a reader of this kind, `DataContractError` for bytes that the reader's
    source did not write.
    """
    reader = READERS.get((kind, source))
    if reader is None:
        known = ", ".join(f"{one} of {name}" for one, name in sorted(READERS))
        raise UsageError(f"nothing reads {kind} of {source}; there are readers of {known}", remedy="correct the source")
    return reader(payload, request)


def refusal(table: pa.Table) -> tuple[str, str] | None:
    """Return code and detail of why a table of `ROW_COLUMNS` is to be rejected as a whole, None where it is not.

    SCHEMA_DRIFT when every row has the same fault, TOO_MANY_BAD_ROWS when more than 5 % of them have one. A row that
    repeats an earlier one is no fault.
    """
    codes = [code for code in table.column("code").to_pylist() if code != REPEATED]
    bad = [code for code in codes if code is not None]
    if not bad:
        return None
    if (
        len(bad) == len(codes)
        and len(bad) > 1
        and len(set(bad)) == 1
        and bad[0] in ("SCAN_WIDTH", "SCAN_TYPE", "SCAN_SHAPE")
    ):
        detail = next(one for one in table.column("detail").to_pylist() if one is not None)
        return "SCHEMA_DRIFT", f"all {len(bad)} rows have the fault {bad[0]}, the first of them: {detail}"
    if len(bad) > BAD_SHARE * len(codes):
        counts = ", ".join(f"{code} {bad.count(code)}" for code in sorted(set(bad)))
        return "TOO_MANY_BAD_ROWS", f"{len(bad)} of {len(codes)} rows are bad ({counts}); at most 5 % may be"
    return None
