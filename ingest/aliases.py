"""Renamed and migrated tickers: whether the histories of two symbols are one, judged over the stored bars.

| code | what the bars say | verdict |
|---|---|---|
| ALIAS_OVERLAP       | all of the last 50 shared sessions agree within the tolerance of two sources | JOINED |
| ALIAS_ADJACENT      | the new one begins the session after the old one ended, less than six times off it | JOINED |
| ALIAS_NO_BARS       | one of them has no final bar | SEPARATE |
| ALIAS_GAP           | sessions are missing between them | SEPARATE |
| ALIAS_JUMP          | they are adjacent, and six times apart or more | SEPARATE |
| ALIAS_MISMATCH      | shared sessions disagree | SEPARATE |
| ALIAS_STILL_TRADING | the old one has bars more than 10 sessions after the renaming: the alias is wrong | SEPARATE |
| ALIAS_WITHDRAWN     | the manifest does not have the alias any more | WITHDRAWN |

A proof is of one adjustment: prices as traded say nothing about total returns. What a JOINED alias means for sessions
is in the model `symbol_origins`; the old symbol is DELISTED in any case but the last two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ingest import judging, thresholds
from ingest.calendars import fill_prefixes, session_date_sql
from ingest.loads import Session, land_words
from ingest.storing import Outcome

if TYPE_CHECKING:
    import duckdb
    from quantmill.manifest.aliases import Alias

PROOFS = ("ALIAS_OVERLAP", "ALIAS_ADJACENT")


def heed_aliases(
    session: Session, aliases: Sequence[Alias], *, as_of: datetime, is_complete: bool = False
) -> tuple[list[dict[str, Any]], Outcome | None]:
    """Judge the aliases that have happened by `as_of` (aware), land what changed, and return it with its load.

    Only aliases whose old symbol the registry knows, and those that were landed before, are judged, or all of them
    with `is_complete`. The rows say symbol (the old one), new_symbol, renamed_on, note, verdict, code, adjustments
    (those with a proof), is_renamed and detail. Nothing is landed where every judgement stands as it was.
    """
    connection = session.connection
    stored = {
        symbol: json.loads(payload)
        for symbol, payload in connection.execute("""
            select symbol, payload from raw.symbol_aliases where (payload ->> 'verdict') != 'LISTED_AS'
            qualify row_number() over (partition by symbol order by received_at_utc desc, load_id desc) = 1
        """).fetchall()
    }
    happened = [one for one in aliases if one.renamed_on <= as_of.date()]
    wanted = [one for one in happened if is_complete or one.old in stored or _is_known(connection, one.old)]
    rows = _judged(connection, wanted, as_of) if wanted else []
    stated = {one.old for one in happened}
    rows += [
        {**row, "verdict": "WITHDRAWN", "code": "ALIAS_WITHDRAWN", "adjustments": [], "is_renamed": False,
         "detail": "the manifest does not have this alias any more"}
        for symbol, row in sorted(stored.items())
        if symbol not in stated and row["verdict"] != "WITHDRAWN"
    ]  # fmt: skip
    changed = [row for row in rows if _essence(row) != _essence(stored.get(row["symbol"]))]
    if not changed:
        return [], None
    origin = f"aliases as of {as_of:%Y-%m-%d}"
    return changed, land_words(session, "symbol_aliases", source="manifest", origin=origin, rows=changed)


def _is_known(connection: duckdb.DuckDBPyConnection, symbol: str) -> bool:
    found = connection.execute("select 1 from ops.symbol_registry where symbol = ?", [symbol]).fetchone()
    return found is not None


def _essence(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what a judgement says; how many sessions it rests on changes every day and says nothing new."""
    return None if row is None else {name: value for name, value in row.items() if name != "detail"}


def _judged(connection: duckdb.DuckDBPyConnection, aliases: Sequence[Alias], as_of: datetime) -> list[dict[str, Any]]:
    symbols = sorted({symbol for one in aliases for symbol in (one.old, one.new)})
    fill_prefixes(connection)
    judging.fill_facts(connection, symbols)
    judging.fill_needed_sessions(connection)
    session = session_date_sql("bars.opened_at_utc", "facts.asset_class", "coalesce(facts.timezone, 'UTC')")
    connection.execute(
        f"""
        create or replace temp table alias_closes as
        select bars.symbol, bars.adjustment, {session} as session_date,
            arg_max(bars.close, (bars.opened_at_utc, bars.received_at_utc, bars.load_id)) as close,
            arg_max(bars.source, (bars.opened_at_utc, bars.received_at_utc, bars.load_id)) as source
        from raw.bars as bars join temp.facts as facts on facts.symbol = bars.symbol
        where bars."interval" = '1d' and bars.is_final and bars.received_at_utc <= ? group by all
        """,
        [as_of.astimezone(UTC).replace(tzinfo=None)],
    )
    is_same_venue = f"""split_part(pairs.old_symbol, ':', 1) = split_part(pairs.new_symbol, ':', 1)
        and olds.source in {judging.VENUE_SOURCES} and news.source in {judging.VENUE_SOURCES}"""
    found = connection.execute(
        f"""
        with pairs as (
            select unnest($olds::varchar[]) as old_symbol, unnest($news::varchar[]) as new_symbol
        ),
        shared as (
            select pairs.old_symbol, olds.adjustment, abs(olds.close / news.close - 1) as off, case
                    when facts.asset_class is distinct from 'crypto' then {thresholds.LISTED_SHARE}
                    when {is_same_venue} then greatest(
                        {thresholds.SAME_VENUE_SHARE}, {judging.tick_share("facts.tick_size", "news.close")})
                    else {thresholds.CROSS_VENUE_SHARE} end as tolerance
            from pairs
            join temp.alias_closes as olds on olds.symbol = pairs.old_symbol
            join temp.alias_closes as news on news.symbol = pairs.new_symbol
                and news.adjustment = olds.adjustment and news.session_date = olds.session_date
            left join temp.facts as facts on facts.symbol = pairs.new_symbol
            qualify row_number() over (
                partition by pairs.old_symbol, olds.adjustment order by olds.session_date desc
            ) <= {thresholds.OVERLAP_BARS}
        ),
        agreement as (
            select old_symbol, adjustment, count(*) as shared_count,
                count(*) filter (where off <= tolerance) as equal_count
            from shared group by all
        ),
        ends as (
            select symbol, adjustment, min(session_date) as first_session, max(session_date) as last_session,
                arg_min(close, session_date) as first_close, arg_max(close, session_date) as last_close
            from temp.alias_closes group by all
        )
        select pairs.old_symbol, olds.adjustment, coalesce(shared_count, 0), coalesce(equal_count, 0),
            olds.last_session, news.first_session, news.first_close / olds.last_close, facts.calendar_id, (
                select count(*) from temp.sessions as sessions
                where sessions.calendar_id = facts.calendar_id and sessions.session_date > olds.last_session
                    and sessions.session_date < news.first_session)
        from pairs
        join ends as olds on olds.symbol = pairs.old_symbol
        join ends as news on news.symbol = pairs.new_symbol and news.adjustment = olds.adjustment
        left join agreement on agreement.old_symbol = pairs.old_symbol and agreement.adjustment = olds.adjustment
        left join temp.facts as facts on facts.symbol = pairs.new_symbol
        order by pairs.old_symbol, olds.adjustment
        """,
        {"olds": [one.old for one in aliases], "news": [one.new for one in aliases]},
    ).fetchall()
    said: dict[str, list[tuple[str, str, str]]] = {one.old: [] for one in aliases}
    for symbol, adjustment, *facts in found:
        code, detail = _verdict(*facts)
        said[symbol].append((adjustment, code, detail))
    return [_row(connection, one, said[one.old]) for one in aliases]


def _verdict(
    shared: int, equal: int, old_last: Any, new_first: Any, ratio: float, calendar_id: str | None, between: int
) -> tuple[str, str]:
    """Return code and detail of one adjustment from its shared sessions and the seam between the two series."""
    if shared:
        return (
            "ALIAS_OVERLAP" if equal == shared else "ALIAS_MISMATCH",
            f"{equal} of {shared} shared sessions agree",
        )
    if calendar_id is None or between or new_first <= old_last:
        missing = f"{between} sessions between" if calendar_id else "no calendar is known"
        return "ALIAS_GAP", f"the old one ends on {old_last}, the new one begins on {new_first}: {missing}"
    is_near = 1 / thresholds.SUSPECT_LEVEL <= ratio <= thresholds.SUSPECT_LEVEL
    return (
        "ALIAS_ADJACENT" if is_near else "ALIAS_JUMP",
        f"{new_first} follows {old_last} at {ratio:.6g} times its close",
    )


def _row(connection: duckdb.DuckDBPyConnection, alias: Alias, said: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    proven = [(adjustment, code, detail) for adjustment, code, detail in said if code in PROOFS]
    late = connection.execute(
        """
        select count(*) from temp.sessions as sessions join temp.facts as facts using (calendar_id)
        where facts.symbol = $symbol and sessions.session_date > $renamed and sessions.session_date <= (
            select max(session_date) from temp.alias_closes where symbol = $symbol)
        """,
        {"symbol": alias.old, "renamed": alias.renamed_on},
    ).fetchone()
    is_trading = not proven and late is not None and late[0] > thresholds.DELISTED_SESSIONS
    told = proven or said or [("", "ALIAS_NO_BARS", "one of them has no final bar of an adjustment that the other has")]
    return {
        "symbol": alias.old,
        "new_symbol": alias.new,
        "renamed_on": alias.renamed_on.isoformat(),
        "note": alias.note,
        "verdict": "JOINED" if proven else "SEPARATE",
        "code": "ALIAS_STILL_TRADING" if is_trading else told[0][1],
        "adjustments": [adjustment for adjustment, _, _ in proven],
        "is_renamed": not is_trading,
        "detail": "; ".join(" ".join(filter(None, (f"{one[0]}:" if one[0] else "", one[2]))) for one in told),
    }
