"""A person's word on what was quarantined: a move is real, bars are equal by chance, a series is released.

| code | said of | what follows |
|---|---|---|
| SUSPECT_DROP, EXTREME | the move of a session | the move counts as real, in what is landed next and in the models |
| DUPLICATE_ROW | the bars of a session | that another symbol has equal ones rejects nothing |
| OVERLAP_MISMATCH, CORPORATE_ACTION | a symbol | for seven days the source may say something else than what is stored |
| TOXIC | a symbol | the registry lets it go; what is stored is judged as it is |

Who said it, when and why stands in `raw.resolutions`. No stored row changes: what was rejected is landed again, as a
new load. A return beyond 500 % is released by nobody.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from quantmill.errors import BadValue, DataContractError, UsageError

from ingest.loads import Session, land_words
from ingest.storing import Outcome

if TYPE_CHECKING:
    import duckdb

OF_MOVES = ("EXTREME", "SUSPECT_DROP")
OF_SESSIONS = (*OF_MOVES, "DUPLICATE_ROW")
OF_SERIES = ("OVERLAP_MISMATCH", "CORPORATE_ACTION")
RELEASABLE = (*OF_SESSIONS, *OF_SERIES, "TOXIC")
_NAME = re.compile(r"[\w][\w .@+-]{0,63}")


def land_resolution(
    session: Session, *, symbol: str, session_date: date | None, code: str, reason: str, by: str
) -> Outcome:
    """Land the word of the person `by` on a finding about one symbol, and of one session where the code is of sessions.

    The newest word on a symbol, session and code counts. Raises `BadValue` for a code that nobody can release, an empty
    reason or a name that is none, `UsageError` for a session that is missing or out of place, and `DataContractError`
    where the word would settle nothing.
    """
    reason, by = " ".join(reason.split()), by.strip()
    if code not in RELEASABLE:
        raise BadValue(
            f"code is '{code}'; one of {', '.join(RELEASABLE)} was needed",
            remedy="a return beyond 500 % is not resolved: land the bars around it from a clean source",
        )
    if not reason:
        raise BadValue("the reason is empty", remedy="say with --reason what happened that session")
    if not _NAME.fullmatch(by):
        raise BadValue(
            f"the name is {by!r}; letters, digits, spaces and . @ + - were needed", remedy="say it with --by"
        )
    if (session_date is None) == (code in OF_SESSIONS):
        raise UsageError(
            f"{code} is of {'sessions, and none was named' if session_date is None else 'a symbol, not of a session'}",
            remedy="name the sessions after the symbol" if session_date is None else "leave the session out",
        )
    found, remedy = _ground(session.connection, symbol, session_date, code)
    if not found:
        place = f" on {session_date}" if session_date else ""
        raise DataContractError(
            f"{code} says nothing of {symbol}{place}: there is nothing to resolve",
            remedy=remedy,
        )
    day = session_date or session.clock().date()
    row: dict[str, Any] = {
        "symbol": symbol, "session_date": day.isoformat(), "code": code, "reason": reason, "by": by,
    }  # fmt: skip
    return land_words(session, "resolutions", source="operator", origin=f"resolve {symbol} {day}", rows=[row])


def _ground(
    connection: duckdb.DuckDBPyConnection, symbol: str, session_date: date | None, code: str
) -> tuple[bool, str]:
    """Return whether the workbench holds what a word is about, and where to look where it does not."""
    # A session in the exchange's zone may open on the UTC day before it.
    if code in OF_MOVES:
        query = "select 1 from raw.bars where symbol = $symbol and abs(cast(opened_at_utc as date) - $day::date) <= 1"
        where = "take symbol and session from features.bar_spikes; 'python -m ingest status' lists what was landed"
        if code == "SUSPECT_DROP":
            query += """ union all select 1 from raw.findings where symbol = $symbol and code = 'SUSPECT_DROP'
                and abs(cast(opened_at_utc as date) - $day::date) <= 1"""
    elif code == "DUPLICATE_ROW":
        query = """select 1 from raw.findings where symbol = $symbol and code = 'DUPLICATE_ROW'
            and abs(cast(opened_at_utc as date) - $day::date) <= 1"""
        where = "take symbol and session from raw.findings where code = 'DUPLICATE_ROW'"
    elif code in OF_SERIES:
        query = f"select 1 from raw.findings where symbol = $symbol and code = '{code}' and severity = 'reject'"
        where = f"take the symbol from raw.findings where code = '{code}' and severity = 'reject'"
    else:
        query = "select 1 from ops.symbol_registry where symbol = $symbol and status = 'TOXIC'"
        where = "take the symbol from ops.symbol_registry where status = 'TOXIC'"
    named = {"symbol": symbol} | ({"day": session_date} if session_date else {})
    return connection.execute(query, named).fetchone() is not None, where
