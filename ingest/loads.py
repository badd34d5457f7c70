"""One load: payload into the landing, then rows into the workbench in one transaction keyed by load id."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from quantmill.errors import BadValue, DataContractError, WarehouseError
from quantmill.manifest.home import Home, writer_lock

from ingest import bars
from ingest.exchanges import SYMBOL
from ingest.landing import (
    Kind,
    Landing,
    Load,
    canonical_json,
    digest,
    next_load_id,
    request_hash,
    utc_moment,
    utc_text,
)
from ingest.schema import create_tables
from ingest.workbench import Workbench, translated

if TYPE_CHECKING:
    import duckdb

# Codes of features.bar_spikes that a recorded resolution settles.
RESOLVABLE = ("EXTREME", "SUSPECT_DROP")

Say = Callable[[str], None]
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Outcome:
    """What became of one load: the row of `raw.loads` without its times and hashes."""

    load_id: str
    kind: str
    source: str
    status: str
    rows_received: int
    rows_new: int
    rows_identical: int
    rows_superseding: int
    rows_quarantined: int
    error: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the load added rows to a raw table other than the quarantine."""
        return self.rows_new + self.rows_superseding > 0


@dataclass
class Session:
    """A writing command at work: it holds the writer lock, the workbench and the landing.

    `clock` returns an aware "now"; it is the only clock that a load sees.
    """

    home: Home
    workbench: Workbench
    landing: Landing
    clock: Clock
    say: Say
    command_id: str | None = None

    def new_load(
        self,
        kind: Kind,
        source: str,
        origin: str,
        request: Mapping[str, Any],
        payload_sha256: str,
        payload_bytes: int,
        extension: str,
        received_at: datetime,
        started_at: datetime,
    ) -> Load:
        """Return the record of a load about to be landed; the first id that a command makes names it."""
        asked = request_hash(kind, source, request)
        landed = self.landing.load_ids()
        load_id = next_load_id(self.clock(), landed[-1] if landed else None, f"{asked} {payload_sha256}")
        self.command_id = self.command_id or load_id
        return Load(
            load_id=load_id,
            command_id=self.command_id,
            kind=kind,
            source=source,
            origin=origin,
            request=request,
            request_hash=asked,
            payload=f"{payload_sha256[:2]}/{payload_sha256}.{extension}",
            payload_sha256=payload_sha256,
            payload_bytes=payload_bytes,
            received_at=utc_text(received_at),
            started_at=utc_text(started_at),
            finished_at=utc_text(self.clock()),
        )


@contextmanager
def open_session(
    home: Home, *, holder: str, clock: Clock, say: Say, wait_seconds: float | None = None
) -> Iterator[Session]:
    """Hold the writer lock, make the tables, replay what a crash left in the landing, and give the session.

    A snapshot row is written at the end when the command changed the data.
    """
    with (
        writer_lock(home, holder=holder, wait_seconds=wait_seconds, say=say),
        Workbench(home.workbench) as workbench,
    ):
        landing = Landing(home.landing)
        with translated(home.workbench):
            create_tables(workbench.connection)
            recover(workbench, landing, say)
            yield Session(home=home, workbench=workbench, landing=landing, clock=clock, say=say)
            take_snapshot(workbench.connection)


def recover(workbench: Workbench, landing: Landing, say: Say) -> list[Outcome]:
    """Replay the landed loads that never reached the workbench, oldest first, and say so."""
    landing.sweep()
    stored = {row[0] for row in workbench.connection.execute("select load_id from raw.loads").fetchall()}
    outcomes = []
    for load_id in landing.load_ids():
        if load_id not in stored:
            load = landing.read_load(load_id)
            landing.verify_payload(load)
            try:
                outcome = store(workbench, landing, load)
            except DataContractError as error:
                raise WarehouseError(
                    f"load {load_id} ({load.origin}) was landed but cannot be replayed: {error}",
                    remedy=f"move {landing.loads / load_id}.json away to go on without it",
                ) from error
            say(f"replayed load {load_id} ({load.origin}), landed before a crash: {describe(outcome)}")
            outcomes.append(outcome)
    take_snapshot(workbench.connection)
    return outcomes


def land_bars(
    session: Session,
    *,
    source: str,
    origin: str,
    data: bytes,
    extension: str,
    request: Mapping[str, Any],
    received_at: datetime,
    force: bool = False,
    before: Callable[[Sequence[str]], object] | None = None,
) -> Outcome:
    """Land one payload of bars and store what it brings.

    A payload that was landed without fault for the same request, and that nothing has changed since, is
    recorded as UP_TO_DATE without being read again, unless `force`. `before` is called with the valid symbols
    of the payload when it has been read, before anything is kept. Raises `DataContractError` when the payload
    cannot be read or holds no row; nothing is landed then.
    """
    started_at = session.clock()
    load = session.new_load(
        "bars", source, origin, request, digest(data), len(data), extension, received_at, started_at
    )
    connection = session.workbench.connection
    earlier = None if force else _landed_before(connection, load)
    notes: tuple[str, ...]
    if earlier is not None:
        symbols, notes = session.landing.read_load(earlier.load_id).symbols, ()
    else:
        with session.landing.incoming(data) as path:
            bars.read_payload(connection, path, request)
            symbols = tuple(bars.symbols_named(connection, request))
            judged = bars.judge(connection, request, received_at)
        if judged.received == 0:
            raise DataContractError(
                f"{origin} holds no row; at least one was needed",
                remedy="look at the file; nothing was landed",
            )
        notes = judged.notes
        if before is not None:
            before(symbols)
            # What `before` landed came first, so this load takes a later id.
            load = session.new_load(
                "bars", source, origin, request, digest(data), len(data), extension, received_at, started_at
            )
    session.landing.keep_payload(data, extension)
    load = _with(load, symbols=symbols, notes=notes, finished_at=utc_text(session.clock()))
    session.landing.keep_load(load)
    for note in notes:
        session.say(f"{origin}: {note}")
    return store(session.workbench, session.landing, load, is_judged=earlier is None)


def land_metadata(
    session: Session, *, source: str, origin: str, rows: Sequence[Mapping[str, Any]], received_at: datetime
) -> Outcome:
    """Land descriptions of symbols, one mapping with a key `symbol` each, as canonical JSON."""
    data = canonical_json(list(rows)).encode()
    request = {"format": "json"}
    load = session.new_load(
        "symbol_metadata",
        source,
        origin,
        request,
        digest(data),
        len(data),
        "json",
        received_at,
        session.clock(),
    )
    session.landing.keep_payload(data, "json")
    symbols = tuple(sorted(row["symbol"] for row in rows))
    load = _with(load, symbols=symbols, notes=(), finished_at=utc_text(session.clock()))
    session.landing.keep_load(load)
    return store(session.workbench, session.landing, load)


def land_resolution(session: Session, *, symbol: str, session_date: date, code: str, reason: str) -> Outcome:
    """Land the word of a person that a suspect move of one symbol and session is real, and why.

    The newest resolution of a symbol, session and code counts. Raises `BadValue` for a code that no resolution
    settles or an empty reason, and `DataContractError` where no bar of the symbol lies near that session: it would
    settle nothing.
    """
    reason = " ".join(reason.split())
    if code not in RESOLVABLE:
        raise BadValue(
            f"code is '{code}'; one of {', '.join(RESOLVABLE)} was needed",
            remedy="a return beyond 500 % is not resolved: land the bars around it from a clean source",
        )
    if not reason:
        raise BadValue("the reason is empty", remedy="say with --reason what happened that session")
    # A session in the exchange's zone may open on the UTC day before it.
    near = session.workbench.connection.execute(
        "select count(*) from raw.bars where symbol = ? and abs(cast(opened_at_utc as date) - ?::date) <= 1",
        [symbol, session_date],
    ).fetchone()
    if near is None or near[0] == 0:
        raise DataContractError(
            f"no bar of {symbol} was landed for {session_date}, so there is nothing to resolve",
            remedy="take symbol and session from features.bar_spikes; 'python -m ingest status' lists what was landed",
        )
    row = {"symbol": symbol, "session_date": session_date.isoformat(), "code": code, "reason": reason}
    data, request, now = canonical_json([row]).encode(), {"format": "json"}, session.clock()
    load = session.new_load(
        "resolutions",
        "operator",
        f"resolve {symbol} {session_date}",
        request,
        digest(data),
        len(data),
        "json",
        now,
        now,
    )
    session.landing.keep_payload(data, "json")
    load = _with(load, symbols=(symbol,), notes=(), finished_at=utc_text(session.clock()))
    session.landing.keep_load(load)
    return store(session.workbench, session.landing, load)


def _with(load: Load, **changes: Any) -> Load:
    return replace(load, **changes)


def store(workbench: Workbench, landing: Landing, load: Load, *, is_judged: bool = False) -> Outcome:
    """Put the rows of a landed load and its record into the workbench, in one transaction, once.

    A COMMIT that fails may have succeeded (a full disk does that), so the file is opened again and asked for
    the load id before a second and last attempt. `is_judged` says that the payload has been read and judged
    on this connection.
    """
    import duckdb

    with translated(workbench.path):
        try:
            return _store_once(workbench.connection, landing, load, is_judged=is_judged)
        except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException):
            workbench.reopen()
            return _store_once(workbench.connection, landing, load, is_judged=False)


def _store_once(connection: duckdb.DuckDBPyConnection, landing: Landing, load: Load, *, is_judged: bool) -> Outcome:
    done = stored_outcome(connection, load.load_id)
    if done is not None:
        return done
    insert = _prepare(connection, landing, load, is_judged=is_judged)
    connection.execute("begin")
    try:
        outcome = insert()
        _require_identity(outcome)
        connection.execute(
            "insert into raw.loads values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                load.load_id,
                load.kind,
                load.source,
                outcome.status,
                load.request_hash,
                load.payload_sha256,
                outcome.rows_received,
                outcome.rows_new,
                outcome.rows_identical,
                outcome.rows_superseding,
                outcome.rows_quarantined,
                _naive(utc_moment(load.started_at)),
                _naive(utc_moment(load.finished_at)),
                outcome.error,
            ],
        )
    except BaseException:
        _roll_back(connection)
        raise
    connection.execute("commit")
    return outcome


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """Undo the open transaction; a dead connection has none, and its fault is already on its way up."""
    import contextlib

    import duckdb

    with contextlib.suppress(duckdb.Error):
        connection.execute("rollback")


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _require_identity(outcome: Outcome) -> None:
    parts = outcome.rows_new + outcome.rows_identical + outcome.rows_superseding + outcome.rows_quarantined
    if parts != outcome.rows_received:
        raise DataContractError(
            f"load {outcome.load_id} received {outcome.rows_received} rows, accounts for {parts}: {outcome}",
            remedy="nothing was stored; report this with the file that was landed",
        )


def stored_outcome(connection: duckdb.DuckDBPyConnection, load_id: str) -> Outcome | None:
    """Return what `raw.loads` says about one load, or None."""
    row = connection.execute(
        """
        select load_id, kind, source, status, rows_received, rows_new, rows_identical, rows_superseding,
            rows_quarantined, error
        from raw.loads where load_id = ?
        """,
        [load_id],
    ).fetchone()
    return Outcome(*row) if row else None


def _landed_before(connection: duckdb.DuckDBPyConnection, load: Load) -> Outcome | None:
    """Return an earlier clean load of the same bytes and request, if reading them again can change nothing.

    It could when a later load changed values of the source, when a stored bar is not final yet, or when this
    payload claims to be older than what is stored; then None.
    """
    row = connection.execute(
        """
        select max(load_id) from raw.loads
        where kind = $kind and source = $source and request_hash = $request and payload_sha256 = $payload
            and status in ('OK', 'UP_TO_DATE') and rows_quarantined = 0 and load_id < $load_id
        """,
        {
            "kind": load.kind,
            "source": load.source,
            "request": load.request_hash,
            "payload": load.payload_sha256,
            "load_id": load.load_id,
        },
    ).fetchone()
    if row is None or row[0] is None:
        return None
    changed = connection.execute(
        """
        select exists (select 1 from raw.loads where kind = 'bars' and source = $source and load_id > $earlier
                and rows_superseding > 0)
            or exists (select 1 from raw.bars where source = $source
                and (not is_final or received_at_utc > $received_at))
        """,
        {"source": load.source, "earlier": row[0], "received_at": _naive(utc_moment(load.received_at))},
    ).fetchone()
    return None if changed is None or changed[0] else stored_outcome(connection, row[0])


def _prepare(
    connection: duckdb.DuckDBPyConnection, landing: Landing, load: Load, *, is_judged: bool
) -> Callable[[], Outcome]:
    """Read and judge the payload of a load, unless that is done, and return what is left for the transaction.

    Reading comes before the transaction: inside it DuckDB numbers the rows of a temporary table differently.
    """
    if load.kind == "symbol_metadata":
        return lambda: _insert_metadata(connection, landing, load)
    if load.kind == "resolutions":
        return lambda: _insert_resolutions(connection, landing, load)
    if not is_judged:
        earlier = _landed_before(connection, load)
        if earlier is not None:
            return lambda: _repeat(connection, load, earlier)
        bars.read_payload(connection, landing.payload_path(load), load.request)
        bars.judge(connection, load.request, utc_moment(load.received_at))
    return lambda: _insert_bars(connection, load)


def _repeat(connection: duckdb.DuckDBPyConnection, load: Load, earlier: Outcome) -> Outcome:
    """Record a load whose payload has nothing new, from the counts of the earlier one."""
    connection.execute(
        """
        update ops.symbol_registry set last_attempt_utc = ?, consecutive_failures = 0,
            reason = case when status in ('TOXIC', 'DELISTED') then reason end,
            status = case when status in ('TOXIC', 'DELISTED') then status else 'STABLE' end
        where list_contains(?::varchar[], symbol)
        """,
        [_naive(utc_moment(load.finished_at)), list(load.symbols)],
    )
    return Outcome(
        load_id=load.load_id,
        kind=load.kind,
        source=load.source,
        status="UP_TO_DATE",
        rows_received=earlier.rows_received,
        rows_new=0,
        rows_identical=earlier.rows_received,
        rows_superseding=0,
        rows_quarantined=0,
    )


def _insert_bars(connection: duckdb.DuckDBPyConnection, load: Load) -> Outcome:
    received_at, detected_at = utc_moment(load.received_at), utc_moment(load.finished_at)
    bars.compare_with_stored(connection, load.source, load.request, received_at)
    bars.insert_bars(connection, load.load_id, load.source, load.request, received_at)
    bars.insert_quarantine(connection, load.load_id, load.request, detected_at)
    _register_bars(connection, load)
    fates = dict(connection.execute("select fate, count(*) from temp.fated group by fate").fetchall())
    codes = connection.execute(
        """
        select code, count(*), count(*) filter (where severity = 'error') from raw.quarantine
        where load_id = ? group by code order by code
        """,
        [load.load_id],
    ).fetchall()
    received = bars.received_count(connection, load.request)
    quarantined = sum(count for _, count, _ in codes)
    errors = sum(count for _, _, count in codes)
    new, superseding = fates.get("new", 0), fates.get("superseding", 0)
    found = ", ".join(f"{code} {count}" for code, count, _ in codes)
    return Outcome(
        load_id=load.load_id,
        kind=load.kind,
        source=load.source,
        status=status_of(received=received, errors=errors, changed=new + superseding),
        rows_received=received,
        rows_new=new,
        rows_identical=fates.get("identical", 0),
        rows_superseding=superseding,
        rows_quarantined=quarantined,
        error=f"{quarantined} of {received} rows are in quarantine: {found}" if quarantined else None,
    )


def status_of(*, received: int, errors: int, changed: int) -> str:
    """Return the status of a load that was read: `errors` rows lost, `changed` rows stored.

    EMPTY without rows; REJECTED when no row survived; PARTIAL when some did; UP_TO_DATE when nothing was
    stored; else OK. A row that another row of its payload replaced is no error.
    """
    if received == 0:
        return "EMPTY"
    if errors == received:
        return "REJECTED"
    if errors:
        return "PARTIAL"
    return "OK" if changed else "UP_TO_DATE"


def _register_bars(connection: duckdb.DuckDBPyConnection, load: Load) -> None:
    """Note in the registry how the load went for each symbol it names.

    TOXIC and DELISTED are left to the checks that set them. A session is the date of a bar in the exchange's
    zone.
    """
    connection.execute(
        """
        insert into ops.symbol_registry
        with seen as (
            select symbol,
                count(*) filter (where fate != 'quarantined') as accepted,
                count(*) filter (where severity = 'error') as errors,
                string_agg(distinct code, ', ' order by code) filter (where severity = 'error') as codes,
                max(opened_at_utc) filter (where fate != 'quarantined' and is_final) as last_opened
            from temp.fated where code is distinct from 'BAD_SYMBOL' group by symbol
        ),
        joined as (
            select seen.*, known.status as old_status, known.reason as old_reason,
                known.consecutive_failures as old_failures,
                greatest(known.last_final_session,
                    ((last_opened at time zone 'UTC') at time zone coalesce($zone, zones.timezone))::date
                ) as last_final
            from seen
            left join ops.symbol_registry as known using (symbol)
            left join temp.zones as zones on zones.prefix = split_part(seen.symbol, ':', 1)
        )
        select symbol,
            case when old_status in ('TOXIC', 'DELISTED') then old_status
                when errors = 0 then 'STABLE'
                when accepted = 0 and last_final is null then 'MISSING'
                else 'DEGRADED' end,
            case when old_status in ('TOXIC', 'DELISTED') then old_reason
                when errors > 0 then errors || ' rows in quarantine: ' || codes end,
            last_final, $at, case when errors = 0 then 0 else coalesce(old_failures, 0) + 1 end
        from joined order by symbol
        on conflict (symbol) do update set status = excluded.status, reason = excluded.reason,
            last_final_session = excluded.last_final_session, last_attempt_utc = excluded.last_attempt_utc,
            consecutive_failures = excluded.consecutive_failures
        """,
        {"zone": load.request["timezone"], "at": _naive(utc_moment(load.finished_at))},
    )


def _insert_metadata(connection: duckdb.DuckDBPyConnection, landing: Landing, load: Load) -> Outcome:
    """Store the descriptions that differ from the latest ones of the same source, as received."""
    rows = json.loads(landing.payload_path(load).read_bytes())
    texts = [canonical_json(row) for row in rows]
    symbols = [str(row.get("symbol", "")) for row in rows]
    good = [bool(SYMBOL.match(symbol)) for symbol in symbols]
    received_at, finished_at = _naive(utc_moment(load.received_at)), _naive(utc_moment(load.finished_at))
    connection.execute(
        """
        create or replace temp table descriptions as
        with given as (
            select unnest($symbols::varchar[]) as symbol, unnest($texts::varchar[]) as payload,
                unnest($good::boolean[]) as is_good,
                unnest(range(1, len($symbols::varchar[]) + 1)) as row_number
        ),
        stored as (
            select meta.symbol, meta.payload from raw.symbol_metadata as meta
            join raw.loads as loads using (load_id)
            where loads.source = $source and meta.received_at_utc <= $received_at
            qualify row_number() over (
                partition by meta.symbol
                order by meta.received_at_utc desc, load_id desc, meta.row_number desc
            ) = 1
        )
        select given.*, case when not is_good then 'quarantined' when stored.symbol is null then 'new'
            when stored.payload = given.payload then 'identical' else 'superseding' end as fate
        from given left join stored on stored.symbol = given.symbol
        """,
        {"symbols": symbols, "texts": texts, "good": good, "source": load.source, "received_at": received_at},
    )
    connection.execute(
        """
        insert into raw.symbol_metadata select ?, row_number, symbol, payload, ?
        from temp.descriptions where fate in ('new', 'superseding') order by row_number
        """,
        [load.load_id, received_at],
    )
    connection.execute(
        """
        insert into raw.quarantine select ?, 'symbol_metadata', 'BAD_SYMBOL', 'error', null, payload,
            'symbol is ' || symbol || '; needs EXCHANGE:TICKER', ?, null
        from temp.descriptions where fate = 'quarantined' order by row_number
        """,
        [load.load_id, finished_at],
    )
    connection.execute(
        """
        insert into ops.symbol_registry
        select symbol, 'REGISTERED', 'no bar was landed yet', null, ?, 0 from temp.descriptions
        where fate != 'quarantined' order by symbol on conflict (symbol) do nothing
        """,
        [finished_at],
    )
    fates = dict(connection.execute("select fate, count(*) from temp.descriptions group by fate").fetchall())
    lost, received = fates.get("quarantined", 0), len(rows)
    new, superseding = fates.get("new", 0), fates.get("superseding", 0)
    return Outcome(
        load_id=load.load_id,
        kind=load.kind,
        source=load.source,
        status=status_of(received=received, errors=lost, changed=new + superseding),
        rows_received=received,
        rows_new=new,
        rows_identical=fates.get("identical", 0),
        rows_superseding=superseding,
        rows_quarantined=lost,
        error=f"{lost} of {received} rows are in quarantine: BAD_SYMBOL {lost}" if lost else None,
    )


def _insert_resolutions(connection: duckdb.DuckDBPyConnection, landing: Landing, load: Load) -> Outcome:
    """Store the resolutions that say something else than the newest one of the same symbol, session and code."""
    rows = json.loads(landing.payload_path(load).read_bytes())
    received_at = _naive(utc_moment(load.received_at))
    counts = {"new": 0, "identical": 0, "superseding": 0}
    for number, row in enumerate(rows, start=1):
        text = canonical_json(row)
        stored = connection.execute(
            """
            select payload from raw.resolutions
            where symbol = ? and (payload ->> 'session_date') = ? and (payload ->> 'code') = ?
            order by received_at_utc desc, load_id desc, row_number desc limit 1
            """,
            [row["symbol"], row["session_date"], row["code"]],
        ).fetchone()
        fate = "new" if stored is None else "identical" if stored[0] == text else "superseding"
        counts[fate] += 1
        if fate != "identical":
            connection.execute(
                "insert into raw.resolutions values (?, ?, ?, ?, ?)",
                [load.load_id, number, row["symbol"], text, received_at],
            )
    return Outcome(
        load_id=load.load_id,
        kind=load.kind,
        source=load.source,
        status=status_of(received=len(rows), errors=0, changed=counts["new"] + counts["superseding"]),
        rows_received=len(rows),
        rows_new=counts["new"],
        rows_identical=counts["identical"],
        rows_superseding=counts["superseding"],
        rows_quarantined=0,
    )


def symbols_without_metadata(connection: duckdb.DuckDBPyConnection, symbols: Sequence[str]) -> list[str]:
    """Return those of `symbols` that no landed metadata describes, in order."""
    known = {row[0] for row in connection.execute("select distinct symbol from raw.symbol_metadata").fetchall()}
    return [symbol for symbol in symbols if symbol not in known]


def take_snapshot(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Write a row of `ops.snapshots` if a load added rows since the last one, and return its id.

    The content hash is the SHA-256 over a line `request_hash payload_sha256` for each load that added rows,
    by load id.
    """
    loads = connection.execute(
        """
        select load_id, request_hash, payload_sha256, finished_at_utc from raw.loads
        where rows_new + rows_superseding > 0 order by load_id
        """
    ).fetchall()
    if not loads:
        return None
    load_id, _, _, finished_at = loads[-1]
    if connection.execute("select 1 from ops.snapshots where max_load_id = ?", [load_id]).fetchone():
        return None
    content = digest("".join(f"{asked} {payload}\n" for _, asked, payload, _ in loads).encode())
    snapshot_id = f"{load_id.split('-')[0]}-{content[:8]}"
    connection.execute("insert into ops.snapshots values (?, ?, ?, ?)", [snapshot_id, load_id, content, finished_at])
    return snapshot_id


def describe(outcome: Outcome) -> str:
    """Return one line of counts for people."""
    line = f"{outcome.status}, {outcome.rows_received:,} rows: {outcome.rows_new:,} new"
    line += f", {outcome.rows_identical:,} identical, {outcome.rows_superseding:,} superseding"
    return line + f", {outcome.rows_quarantined:,} quarantined" + (f" ({outcome.error})" if outcome.error else "")
