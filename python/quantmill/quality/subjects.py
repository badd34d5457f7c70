"""What one judgement looks at: the symbols of a profile, as known at its as_of, and a digest of exactly these rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from quantmill.ledger import canonical_json
from quantmill.manifest.settings import Settings
from quantmill.quality.rules import OTHERS, RELATIONS, Rule

if TYPE_CHECKING:
    import duckdb

# Libraries whose version can change an answer.
JUDGES = ("great-expectations", "pandas", "duckdb")


@dataclass(frozen=True)
class Subject:
    """Whose data are judged, as of when and how strictly. `as_of_utc` has no time zone; symbols are sorted.

    `volume` is what the profile declares of its bars: present or absent. `calendars` are pairs of symbol and calendar:
    those that its bars are on, where they were looked up once for all queries.
    """

    profile: str
    gate: str
    as_of_utc: datetime
    symbols: tuple[str, ...]
    volume: str
    calendars: tuple[tuple[str, str], ...] | None = None

    def looked_up(self, connection: duckdb.DuckDBPyConnection) -> Subject:
        """Return this subject with the calendars of its bars."""
        found = connection.execute(
            "select distinct symbol, calendar_id from features.session_bars where symbol in"
            " (select unnest($symbols::varchar[])) order by all",
            {"symbols": list(self.symbols)},
        ).fetchall()
        return replace(self, calendars=tuple(found))

    def relations(self) -> dict[str, str]:
        """Return the subquery of each name that rules may read: rows of these symbols, known at as_of."""
        listed = ", ".join(f"'{symbol}'" for symbol in self.symbols)
        instant = f"timestamp '{self.as_of_utc:%Y-%m-%d %H:%M:%S.%f}'"
        mine = f"symbol in ({listed})"
        # the calendars that bars are on, whatever the metadata say of them: those are judged too
        calendars = f"select distinct symbol, calendar_id from features.session_bars where {mine}"
        if self.calendars is not None:
            mine_on = _texts(symbol for symbol, _ in self.calendars)
            found_on = _texts(calendar for _, calendar in self.calendars)
            calendars = f"select unnest({mine_on}) as symbol, unnest({found_on}) as calendar_id"
        # a row of a session that may be missing has no time of its own: its calendar says which session closed last
        closed = (
            "select listed.symbol, max(calendar.session_date) as last_date"
            f" from ({calendars}) as listed"
            " inner join features.market_calendar as calendar on listed.calendar_id = calendar.calendar_id"
            f" where calendar.close_utc <= {instant} group by listed.symbol"
        )

        def until(table: str, column: str = "session_date") -> str:
            return (
                f"(select judged.* from features.{table} as judged inner join ({closed}) as closed"
                f" on judged.symbol = closed.symbol and judged.{column} <= closed.last_date)"
            )

        return {
            "profile": f"(select unnest([{listed}]) as symbol, {instant} as as_of_utc, '{self.volume}' as volume)",
            "session_bars": f"(select * from features.session_bars where {mine} and known_at_utc <= {instant})",
            "daily_returns": f"(select * from features.daily_returns where {mine} and known_at_utc <= {instant})",
            "bar_spikes": until("bar_spikes"),
            # a bar off the calendar has no close: its day is over a day after it opened
            "bar_verdicts": f"(select * from features.bar_verdicts where {mine}"
            f" and coalesce(close_utc, opened_at_utc + interval 1 day) <= {instant})",
            # not by the time of the row, which is what is judged
            "factor_history": until("factor_history"),
            "bar_gaps": until("bar_gaps"),
            "symbol_health": until("symbol_health", "as_of_date"),
            "symbols": f"(select * from features.symbols where {mine})",
            "execution_limits": f"(select * from features.execution_limits where {mine} and valid_from <= {instant})",
            "metadata_coverage": (
                f"(select * from features.metadata_coverage where {mine} and scanned_at_utc <= {instant})"
            ),
            "scan_candidates": f"(select * from features.scan_candidates where {mine} and scanned_at_utc <= {instant})",
            "vendor_features": (
                f"(select * from features.vendor_features where {mine} and observed_at_utc <= {instant})"
            ),
            "market_calendar": (
                f"(select * from features.market_calendar where close_utc <= {instant} and calendar_id in"
                f" (select calendar_id from ({calendars})))"
            ),
            "traded_sessions": (
                "(select distinct calendar_id, session_date from features.session_bars"
                f" where known_at_utc <= {instant} and calendar_id in (select calendar_id from ({calendars})))"
            ),
        }

    def query(self, rule: Rule) -> str:
        """Return the query of a rule's failing rows with its placeholders filled."""
        relations = self.relations()
        return (rule.failing_rows or "").format(**relations, batch=relations[rule.relation]).strip().rstrip(";")


def _texts(values: Iterable[str]) -> str:
    """Return a list of texts in SQL."""
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"[{listed}]::varchar[]"


def scanned_symbols(connection: duckdb.DuckDBPyConnection, settings: Settings) -> tuple[str, ...]:
    """Return the candidates that the newest scans of the profile's scanners name, sorted; none for a static list.

    Candidates of older scans are left to the verdict of each window: who was delisted since is no fault of the data
    of today.
    """
    wanted = [(one.scanner_id, one.config_hash) for one in settings.universe.scanners]
    if not wanted:
        return ()
    latest = settings.as_of.astimezone(UTC).replace(tzinfo=None)
    found = connection.execute(
        """
        with wanted as (
            select unnest(?::varchar[]) as scanner_id, unnest(?::varchar[]) as config_hash
        ),
        scans as (
            select candidates.*
            from features.scan_candidates as candidates
            semi join wanted using (scanner_id, config_hash)
            where drop_stage is distinct from 'scan' and (? = 'static' or scanned_at_utc <= ?)
        ),
        newest as (
            select scanner_id, arg_max(load_id, (scanned_at_utc, load_id)) as load_id
            from scans
            group by scanner_id
        )
        select distinct symbol
        from scans
        semi join newest using (scanner_id, load_id)
        where is_kept
        order by symbol
        """,
        [[one[0] for one in wanted], [one[1] for one in wanted], settings.universe.basis, latest],
    ).fetchall()
    return tuple(symbol for (symbol,) in found)


def subject_of(settings: Settings, scanned: Iterable[str] = ()) -> Subject:
    """Return what is judged for resolved settings: candidates, anchors, benchmarks and symbols that are landed only.

    `scanned` are the candidates that the profile's scanners name.
    """
    universe = settings.universe
    return Subject(
        profile=settings.profile,
        gate=settings.quality.gate,
        as_of_utc=settings.as_of.astimezone(UTC).replace(tzinfo=None),
        symbols=tuple(
            sorted(
                {
                    *universe.symbols,
                    *universe.landed_only,
                    *universe.anchor_symbols,
                    *settings.benchmarks,
                    *scanned,
                }
            )
        ),
        volume=settings.bars.volume,
    )


def content_of(
    connection: duckdb.DuckDBPyConnection, subject: Subject, names: Iterable[str]
) -> dict[str, tuple[int, str]]:
    """Return row count and digest of each named relation of the subject; the order of rows does not matter."""
    relations = subject.relations()
    wanted = [name for name in (*RELATIONS, *OTHERS) if name in set(names)]
    query = " union all ".join(
        f"select '{name}', count(*), coalesce(sum(cast(hash(judged) as hugeint)), 0)::varchar"
        f" from {relations[name]} as judged"
        for name in wanted
    )
    return {name: (count, digest) for name, count, digest in connection.execute(query).fetchall()}


def judgement_id(subject: Subject, rules: Iterable[Rule], content: Mapping[str, tuple[int, str]]) -> str:
    """Return 16 hex digits for what decides a judgement: rules, content, strictness, and who judges."""
    described = {
        "profile": subject.profile,
        "gate": subject.gate,
        "as_of": subject.as_of_utc.isoformat(),
        "symbols": subject.symbols,
        "volume": subject.volume,
        "rules": [rule.digest for rule in rules],
        "content": {name: list(found) for name, found in content.items()},
        "judges": {name: _version(name) for name in JUDGES},
        "code": _code_digest(),
    }
    return hashlib.sha256(canonical_json(described).encode()).hexdigest()[:16]


def _code_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
