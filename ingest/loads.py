"""Loads: payloads into the landing, then rows into the workbench.

One payload of a desk lands by itself (`land_bars`, `land_metadata`, `land_words`); what sources answer lands in
batches (`land_answers`): one archive on the disk, one transaction in the workbench (`ingest.storing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quantmill.errors import DataContractError, WarehouseError
from quantmill.manifest.home import Home, writer_lock

from ingest import bars, registry
from ingest.answers import Answer
from ingest.landing import (
    Kind,
    Landing,
    Load,
    canonical_json,
    digest,
    next_load_id,
    request_hash,
    stamp_moment,
    utc_text,
)
from ingest.schema import create_tables, require_tables
from ingest.stopping import Interrupted
from ingest.storing import (
    BATCH_LOADS,
    Outcome,
    Readers,
    apply_journal,
    describe,
    landed_before,
    store,
    store_loads,
    take_snapshot,
)
from ingest.workbench import Workbench, translated

if TYPE_CHECKING:
    import duckdb

# Bytes of one archive.
BATCH_BYTES = 64 << 20

Say = Callable[[str], None]
Clock = Callable[[], datetime]


@dataclass
class Session:
    """A writing command at work: it holds the writer lock, the workbench and the landing.

    `clock` returns an aware "now"; it is the only clock that a load sees. `readers` turn kept bytes into rows; None
    takes those of `ingest.readers`.
    """

    home: Home
    workbench: Workbench
    landing: Landing
    clock: Clock
    say: Say
    readers: Readers | None = None
    command_id: str | None = None
    journal: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection of the workbench; a failed COMMIT opens another."""
        return self.workbench.connection

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
        load_id = next_load_id(self.clock(), self.landing.last_load_id(), f"{asked} {payload_sha256}")
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

    def name_command(self, content: str) -> str:
        """Return the id of this command, making one of its own where it has not landed anything yet."""
        if self.command_id is None:
            self.command_id = next_load_id(self.clock(), self.landing.last_load_id(), content)
        return self.command_id

    def record(self, table: str, columns: Mapping[str, Any]) -> None:
        """Write one row into a table of `ops`; the journal keeps it for a rebuild."""
        entry = {"table": table, "row": dict(columns)}
        apply_journal(self.connection, [entry])
        self.journal.append(entry)

    def keep_journal(self, symbols: Sequence[str] = ()) -> None:
        """Make durable what `record` wrote, and the registry rows of `symbols` as they are now."""
        entries = list(self.journal)
        if symbols:
            states = registry.rows_of(self.connection, symbols)
            entries += [{"table": "ops.symbol_registry", "row": row} for row in states]
        if entries:
            self.landing.keep_journal(self.name_command("journal"), entries)
        self.journal.clear()


@contextmanager
def open_session(
    home: Home,
    *,
    holder: str,
    clock: Clock,
    say: Say,
    wait_seconds: float | None = None,
    readers: Readers | None = None,
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
            recover(workbench, landing, say, readers)
            session = Session(home=home, workbench=workbench, landing=landing, clock=clock, say=say, readers=readers)
            try:
                yield session
            finally:
                landing.close()
            take_snapshot(workbench.connection)


@contextmanager
def open_view(home: Home, *, clock: Clock, say: Say) -> Iterator[tuple[Session, int]]:
    """Give a session that can only read, and the number of landed loads that wait to be replayed.

    No lock is taken, nothing is replayed, no file is written or made; without a workbench the tables are empty. Raises
    `WarehouseError` for a workbench of an earlier version, whose tables a writing command would bring up to date.
    """
    is_there = home.workbench.is_file()
    path = home.workbench if is_there else Path(":memory:")
    with Workbench(path, read_only=is_there) as workbench, translated(home.workbench):
        if not is_there:
            create_tables(workbench.connection)
        require_tables(workbench.connection, home.workbench)
        landing = Landing(home.landing)
        try:
            waiting = _waiting(workbench, landing)
            yield Session(home=home, workbench=workbench, landing=landing, clock=clock, say=say), len(waiting)
        finally:
            landing.close()


def recover(workbench: Workbench, landing: Landing, say: Say, readers: Readers | None = None) -> list[Outcome]:
    """Replay the landed loads that never reached the workbench, oldest first, and say so."""
    landing.sweep()
    waiting = _waiting(workbench, landing)
    for load in waiting:
        landing.verify_payload(load)
    outcomes: list[Outcome] = []
    if waiting:
        try:
            outcomes = store_loads(workbench, landing, waiting, readers=readers)
        except DataContractError as error:
            raise WarehouseError(
                f"loads that were landed before cannot be replayed, of {len(waiting)} the first is "
                f"{waiting[0].load_id} ({waiting[0].origin}): {error}",
                remedy=f"move its file away from {landing.folder} to go on without it",
            ) from error
        for load, outcome in list(zip(waiting, outcomes, strict=True))[:10]:
            say(f"replayed load {load.load_id} ({load.origin}), landed before a crash: {describe(outcome)}")
        if len(waiting) > 10:
            say(f"replayed {len(waiting) - 10} more loads that were landed before a crash")
    take_snapshot(workbench.connection)
    return outcomes


def _waiting(workbench: Workbench, landing: Landing) -> list[Load]:
    return landing.waiting(
        lambda names: _stored_ids(workbench.connection, names),
        lambda first, end: _scalar(
            workbench.connection, "select count(*) from raw.loads where load_id >= ? and load_id < ?", [first, end]
        ),
    )


def _stored_ids(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> set[str]:
    rows = connection.execute(
        "select load_id from raw.loads semi join (select unnest(?::varchar[]) as load_id) using (load_id)",
        [list(names)],
    ).fetchall()
    return {row[0] for row in rows}


def _scalar(connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any]) -> int:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return int(row[0])


def land_answers(
    session: Session,
    answers: Iterable[Answer],
    *,
    context: Callable[[Answer], Mapping[str, Any]] = lambda _: {},
    report: Callable[[Load, Outcome], None] | None = None,
) -> list[tuple[Load, Outcome]]:
    """Land what sources answered, as it comes, and store it batch by batch; every answer becomes a load.

    `context` says of an answer what its bytes do not: `expected_session`, `pass`, the resolved scanner. `report` gets
    each load when it is stored. A batch whose answers arrive in another order has the same load ids: they are sorted by
    what was asked.
    """
    landed: list[tuple[Load, Outcome]] = []
    for batch in _batches(answers):
        loads, payloads = _records(session, batch, context)
        kept = session.landing.keep_batch(loads, payloads)
        outcomes = store_loads(session.workbench, session.landing, kept, readers=session.readers, payloads=payloads)
        for load, outcome in zip(kept, outcomes, strict=True):
            if report is not None:
                report(load, outcome)
            landed.append((load, outcome))
    return landed


def _batches(answers: Iterable[Answer]) -> Iterator[list[Answer]]:
    batch: list[Answer] = []
    size = 0
    try:
        for answer in answers:
            batch.append(answer)
            size += len(answer.payload or b"")
            if len(batch) >= BATCH_LOADS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except Interrupted:
        # there is no further answer; what came before is landed like any other
        pass
    if batch:
        yield batch


def _records(
    session: Session, batch: Sequence[Answer], context: Callable[[Answer], Mapping[str, Any]]
) -> tuple[list[Load], dict[str, bytes]]:
    """Return the load records of a batch, whose stamps follow each other, and the payloads by name."""
    asked = [(request_hash(answer.kind, answer.source, answer.request), answer) for answer in batch]
    # The first answer of every series before the second of any: a series may occur once in one judgement.
    places: dict[Any, int] = {}
    keyed: list[tuple[str, int, int, str, Answer]] = []
    for hashed, answer in sorted(
        asked, key=lambda one: (one[1].kind, canonical_json(one[1].request), digest(one[1].payload or b""))
    ):
        series = (answer.kind, answer.source, answer.request.get("symbol"))
        places[series] = places.get(series, 0) + 1
        keyed.append((answer.kind, places[series], len(keyed), hashed, answer))
    keyed.sort(key=lambda one: one[:3])
    now = session.clock()
    loads: list[Load] = []
    payloads: dict[str, bytes] = {}
    previous = session.landing.last_load_id()
    first = stamp_moment(next_load_id(now, previous, ""))
    for number, (_, _, _, hashed, answer) in enumerate(keyed):
        sha256 = None if answer.payload is None else digest(answer.payload)
        name = None if sha256 is None else f"{sha256}.{answer.extension}"
        if name is not None and answer.payload is not None:
            payloads[name] = answer.payload
        load_id = next_load_id(first + timedelta(microseconds=number), None, f"{hashed} {sha256}")
        session.command_id = session.command_id or load_id
        loads.append(
            Load(
                load_id=load_id,
                command_id=session.command_id,
                kind=answer.kind,
                source=answer.source,
                origin=answer.origin,
                request=dict(answer.request),
                request_hash=hashed,
                payload=name,
                payload_sha256=sha256,
                payload_bytes=len(answer.payload or b""),
                received_at=utc_text(answer.received_at),
                started_at=utc_text(answer.started_at),
                finished_at=utc_text(max(now, answer.received_at)),
                symbols=(answer.request["symbol"],) if answer.request.get("symbol") else (),
                state=answer.state,
                code=answer.code,
                error=answer.error,
                attempts=tuple(
                    {**asdict(attempt), "started_at": utc_text(attempt.started_at)} for attempt in answer.attempts
                ),
                counters=dict(answer.counters),
                context=dict(context(answer)),
            )
        )
    return loads, payloads


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
    load = _with(load, context={"is_forced": True} if force else {})
    connection = session.workbench.connection
    earlier = None if force else landed_before(connection, load)
    notes: tuple[str, ...]
    if earlier is not None:
        symbols, notes = session.landing.read_load(earlier.load_id).symbols, ()
    else:
        with session.landing.incoming(data) as path:
            bars.read_payload(connection, path, request)
            symbols = tuple(bars.symbols_named(connection, request))
            if before is not None and bars.has_rows(connection):
                before(symbols)
                # What `before` landed came first, so this load takes a later id.
                later = session.new_load(
                    "bars", source, origin, request, digest(data), len(data), extension, received_at, started_at
                )
                load = _with(later, context=load.context)
            judged = bars.judge(connection, request, received_at, load.load_id)
        if judged.received == 0:
            raise DataContractError(
                f"{origin} holds no row; at least one was needed",
                remedy="look at the file; nothing was landed",
            )
        notes = judged.notes
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
    return _land_json(session, "symbol_metadata", source, origin, rows, received_at)


def land_words(
    session: Session,
    kind: Literal["resolutions", "symbol_aliases"],
    *,
    source: str,
    origin: str,
    rows: Sequence[Mapping[str, Any]],
) -> Outcome:
    """Land what somebody says of symbols, one mapping with a key `symbol` each; see `ingest.words`."""
    return _land_json(session, kind, source, origin, rows, session.clock())


def _land_json(
    session: Session, kind: Kind, source: str, origin: str, rows: Sequence[Mapping[str, Any]], received_at: datetime
) -> Outcome:
    data = canonical_json(list(rows)).encode()
    load = session.new_load(
        kind, source, origin, {"format": "json"}, digest(data), len(data), "json", received_at, session.clock()
    )
    session.landing.keep_payload(data, "json")
    symbols = tuple(sorted({row["symbol"] for row in rows}))
    load = _with(load, symbols=symbols, notes=(), finished_at=utc_text(session.clock()))
    session.landing.keep_load(load)
    return store(session.workbench, session.landing, load)


def _with(load: Load, **changes: Any) -> Load:
    return replace(load, **changes)
