"""Landed loads into the workbench: read, judged and stored, each load whole or absent.

Whatever is stored, now, after a crash or at a rebuild, goes through `store_loads`. Loads come out of the landing;
nothing here writes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from quantmill.errors import DataContractError, WarehouseError

from ingest import bars, judging, registry, rows, words
from ingest.answers import AnswerKind, Reader
from ingest.calendars import fill_prefixes
from ingest.landing import Landing, Load, canonical_json, digest, utc_moment
from ingest.thresholds import FRESH_HOURS
from ingest.workbench import Workbench, translated

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Tables that no payload can make again.
JOURNALED = ("ops.symbol_registry", "ops.sync_runs", "ops.commands", "ops.feature_coverage")
# Loads of one transaction: large enough that a sync and a scan of raw.bars do not count.
BATCH_LOADS = 1000
# Passes of a repair that may ask another source than the one whose bars are stored: it has to agree with them.
ALTERNATE_PASSES = ("alternate", "gaps")

Readers = Mapping[tuple[AnswerKind, str], Reader]


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


def store(
    workbench: Workbench, landing: Landing, load: Load, *, readers: Readers | None = None, is_judged: bool = False
) -> Outcome:
    """Put the rows of one landed load and its record into the workbench, in one transaction, once.

    `is_judged` says that its file has been read and judged on this connection.
    """
    return store_loads(workbench, landing, [load], readers=readers, is_judged=is_judged)[0]


def store_loads(
    workbench: Workbench,
    landing: Landing,
    loads: Sequence[Load],
    *,
    readers: Readers | None = None,
    payloads: Mapping[str, bytes] | None = None,
    is_judged: bool = False,
) -> list[Outcome]:
    """Put landed loads into the workbench and return their outcomes in order; what is stored already stays as it is.

    Neighbouring loads that cannot touch each other's rows share a transaction. Where one fails, its loads are tried
    one by one, after the file was opened again: a COMMIT that fails may have succeeded (a full disk does that), so
    the load id is looked up first. `payloads` are bytes by name that need not be read again.
    """
    import duckdb

    found = stored_outcomes(workbench.connection, [load.load_id for load in loads])
    waiting = [load for load in loads if load.load_id not in found]
    with translated(workbench.path):
        for wave in _waves(waiting):
            try:
                outcomes = _store_wave(workbench.connection, landing, wave, readers, payloads, is_judged=is_judged)
            except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException):
                workbench.reopen()
                outcomes = []
                for load in wave:
                    done = stored_outcomes(workbench.connection, [load.load_id])
                    outcomes += [done[load.load_id]] if done else _store_wave(
                        workbench.connection, landing, [load], readers, payloads
                    )  # fmt: skip
            found.update({outcome.load_id: outcome for outcome in outcomes})
    return [found[load.load_id] for load in loads]


def _is_file(load: Load) -> bool:
    return load.kind == "bars" and "layout" in load.request


def _waves(loads: Sequence[Load]) -> Iterator[list[Load]]:
    """Cut loads into runs of one kind in which no symbol and no request occurs twice; a file stands alone."""
    wave: list[Load] = []
    seen: set[str] = set()
    for load in loads:
        key = str(load.context.get("symbol") or load.request.get("symbol") or load.request_hash)
        is_new = bool(wave) and (
            _is_file(load)
            or _is_file(wave[-1])
            or load.kind != wave[-1].kind
            or key in seen
            or len(wave) >= BATCH_LOADS
        )
        if is_new:
            yield wave
            wave, seen = [], set()
        wave.append(load)
        seen.add(key)
    if wave:
        yield wave


def _store_wave(
    connection: duckdb.DuckDBPyConnection,
    landing: Landing,
    wave: Sequence[Load],
    readers: Readers | None,
    payloads: Mapping[str, bytes] | None,
    *,
    is_judged: bool = False,
) -> list[Outcome]:
    """Read, judge and store loads that can be judged together, in one transaction.

    Reading comes before the transaction: inside it DuckDB numbers the rows of a temporary table differently.
    """
    kind = wave[0].kind
    if kind in words.WORD_KINDS:
        prepared: Callable[[], list[Outcome]] = lambda: [  # noqa: E731
            _insert_words(connection, landing, load) for load in wave
        ]
    elif _is_file(wave[0]):
        prepared = _prepare_file(connection, landing, wave[0], is_judged=is_judged)
    else:
        prepared = _prepare_answers(connection, landing, wave, readers, payloads)
    connection.execute("begin")
    try:
        outcomes = prepared()
        for outcome in outcomes:
            _require_identity(outcome)
        _insert_loads(connection, wave, outcomes)
        registry.note_listings(connection, wave[0].command_id)
    except BaseException:
        _roll_back(connection)
        raise
    connection.execute("commit")
    return outcomes


def _insert_loads(connection: duckdb.DuckDBPyConnection, wave: Sequence[Load], outcomes: Sequence[Outcome]) -> None:
    columns: list[list[Any]] = [list(column) for column in zip(
        *(
            (
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
                load.context.get("config_hash"),
                canonical_json(load.counters) if load.counters else None,
            )
            for load, outcome in zip(wave, outcomes, strict=True)
        ),
        strict=True,
    )]  # fmt: skip
    text, number, moment = "unnest(?::varchar[])", "unnest(?::bigint[])", "unnest(?::timestamp[])"
    types = [*[text] * 6, *[number] * 5, *[moment] * 2, *[text] * 3]
    connection.execute(f"insert into raw.loads select {', '.join(types)}", columns)


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
    return stored_outcomes(connection, [load_id]).get(load_id)


def stored_outcomes(connection: duckdb.DuckDBPyConnection, load_ids: Sequence[str]) -> dict[str, Outcome]:
    """Return what `raw.loads` says about those of some loads that it holds, by load id."""
    found = connection.execute(
        """
        select load_id, kind, source, status, rows_received, rows_new, rows_identical, rows_superseding,
            rows_quarantined, error
        from raw.loads semi join (select unnest(?::varchar[]) as load_id) using (load_id)
        """,
        [list(load_ids)],
    ).fetchall()
    return {row[0]: Outcome(*row) for row in found}


def landed_before(connection: duckdb.DuckDBPyConnection, load: Load) -> Outcome | None:
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


def _fill_batch(connection: duckdb.DuckDBPyConnection, wave: Sequence[Load]) -> None:
    """Make `temp.batch`: one row per load of the wave, as the judgement needs it."""
    columns = [list(column) for column in zip(
        *(
            (
                load.load_id,
                load.kind,
                load.source,
                load.context.get("symbol") or load.request.get("symbol"),
                load.context.get("interval") or load.request.get("interval"),
                load.context.get("adjustment") or load.request.get("adjustment"),
                _naive(utc_moment(load.received_at)),
                _naive(utc_moment(load.finished_at)),
                _is_file(load),
                load.context.get("expected_session"),
                load.context.get("pass") in ALTERNATE_PASSES,
            )
            for load in wave
        ),
        strict=True,
    )]  # fmt: skip
    types = [*["varchar"] * 6, *["timestamp"] * 2, "boolean", "date", "boolean"]
    names = (
        "load_id", "kind", "source", "symbol", "interval", "adjustment", "received_at", "detected_at", "is_file",
        "expected_session", "is_alternate",
    )  # fmt: skip
    selected = ", ".join(f"unnest(?::{kind}[]) as {name}" for kind, name in zip(types, names, strict=True))
    connection.execute(f"create or replace temp table batch as select {selected}", columns)


def _prepare_file(
    connection: duckdb.DuckDBPyConnection, landing: Landing, load: Load, *, is_judged: bool
) -> Callable[[], list[Outcome]]:
    """Read and judge a file, unless it was landed before, and return what is left for the transaction."""
    if not is_judged:
        earlier = None if load.context.get("is_forced") else landed_before(connection, load)
        if earlier is not None:
            repeated = earlier
            return lambda: [_repeat(connection, load, repeated)]
        bars.read_payload(connection, landing.payload_path(load), load.request)
        bars.judge(connection, load.request, utc_moment(load.received_at), load.load_id)
    _fill_batch(connection, [load])
    fill_prefixes(connection)
    judging.fill_facts(connection, list(load.symbols))
    bars.judge_grid(connection)
    return lambda: [_insert_file(connection, load)]


def _repeat(connection: duckdb.DuckDBPyConnection, load: Load, earlier: Outcome) -> Outcome:
    """Record a load whose payload has nothing new, from the counts of the earlier one."""
    registry.note_repeat(connection, load)
    return Outcome(
        load_id=load.load_id,
        kind=load.kind,
        source=load.source,
        status="UP_TO_DATE" if _is_file(load) else "DUPLICATE",
        rows_received=earlier.rows_received,
        rows_new=0,
        rows_identical=earlier.rows_received,
        rows_superseding=0,
        rows_quarantined=0,
    )


def _insert_file(connection: duckdb.DuckDBPyConnection, load: Load) -> Outcome:
    received = bars.received_count(connection, load.request)
    judging.compare_with_stored(connection)
    connection.execute("drop table temp.judged")
    judging.check(connection)
    judging.insert_bars(connection)
    bars.quarantine_file_rows(connection, load.load_id, load.request, utc_moment(load.finished_at))
    fates = dict(connection.execute("select fate, count(*) from temp.fated group by fate").fetchall())
    codes = connection.execute(
        """
        select code, count(*), count(*) filter (where severity = 'error') from raw.quarantine
        where load_id = ? group by code order by code
        """,
        [load.load_id],
    ).fetchall()
    quarantined = sum(count for _, count, _ in codes)
    errors = sum(count for _, _, count in codes)
    new, superseding = fates.get("new", 0), fates.get("superseding", 0)
    found = ", ".join(f"{code} {count}" for code, count, _ in codes)
    status = status_of(received=received, errors=errors, changed=new + superseding)
    registry.note_bars(connection, {load.load_id: status}, zone=load.request["timezone"])
    registry.note_stored_twins(connection)
    return Outcome(
        load_id=load.load_id,
        kind=load.kind,
        source=load.source,
        status=status,
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


def _read(
    landing: Landing,
    wave: Sequence[Load],
    readers: Readers | None,
    payloads: Mapping[str, bytes] | None,
) -> tuple[pa.Table | None, dict[str, str]]:
    """Return the rows of the loads that have some, with their load ids, and why others cannot be read."""
    import pyarrow as pa

    known = readers
    tables, faults = [], {}
    for load in wave:
        if load.payload is None or load.state in ("failed", "unknown_symbol"):
            continue
        data = (payloads or {}).get(load.payload) or landing.payload(load)
        try:
            if load.request.get("format") == "json":
                table = rows.read_json(data)
            else:
                if known is None:
                    from ingest.readers import READERS

                    known = READERS
                table = known[cast("AnswerKind", load.kind), load.source](data, load.request)
        except DataContractError as error:
            faults[load.load_id] = error.message
            continue
        tables.append(table.append_column("load_id", pa.array([load.load_id] * len(table), pa.string())))
    return (pa.concat_tables(tables) if tables else None), faults


def _duplicates(connection: duckdb.DuckDBPyConnection, wave: Sequence[Load]) -> dict[str, Outcome]:
    """Return by load id the earlier outcome of loads that brought the same bytes for the same request just before.

    Bars count as such only where the earlier load reached the session that is to be reached now and no other load of
    the source has touched the symbol since. A forced load is never one.
    """
    asked = [
        load
        for load in wave
        if load.payload_sha256
        and load.state == "complete"
        and not load.context.get("is_forced")
        and load.request.get("format") != "json"
    ]
    if not asked:
        return {}
    found = connection.execute(
        f"""
        select asked.load_id, max(loads.load_id)
        from (
            select unnest($ids::varchar[]) as load_id, unnest($kinds::varchar[]) as kind,
                unnest($sources::varchar[]) as source, unnest($requests::varchar[]) as request_hash,
                unnest($payloads::varchar[]) as payload_sha256, unnest($received::timestamp[]) as received_at,
                unnest($symbols::varchar[]) as symbol, unnest($expected::date[]) as expected_session
        ) as asked
        join raw.loads as loads
            on loads.kind = asked.kind and loads.source = asked.source and loads.request_hash = asked.request_hash
            and loads.payload_sha256 = asked.payload_sha256 and loads.load_id < asked.load_id
            and loads.status in ('OK', 'UP_TO_DATE', 'OK_EMPTY', 'DUPLICATE')
            and loads.started_at_utc between asked.received_at - interval {FRESH_HOURS} hour and asked.received_at
        left join ops.symbol_registry as known on known.symbol = asked.symbol
        where asked.kind != 'bars' or (
            known.status = 'STABLE' and coalesce(known.last_final_session >= asked.expected_session, true)
            and loads.load_id >= (select coalesce(max(bars.load_id), '') from raw.bars as bars
                where bars.symbol = asked.symbol and bars.source = asked.source))
        group by asked.load_id
        """,
        {
            "ids": [load.load_id for load in asked],
            "kinds": [load.kind for load in asked],
            "sources": [load.source for load in asked],
            "requests": [load.request_hash for load in asked],
            "payloads": [load.payload_sha256 for load in asked],
            "received": [_naive(utc_moment(load.received_at)) for load in asked],
            "symbols": [load.context.get("symbol") or load.request.get("symbol") for load in asked],
            "expected": [load.context.get("expected_session") for load in asked],
        },
    ).fetchall()
    earlier = stored_outcomes(connection, [row[1] for row in found])
    return {load_id: earlier[before] for load_id, before in found}


def _prepare_answers(
    connection: duckdb.DuckDBPyConnection,
    landing: Landing,
    wave: Sequence[Load],
    readers: Readers | None,
    payloads: Mapping[str, bytes] | None,
) -> Callable[[], list[Outcome]]:
    """Read and judge answers of one kind together and return what is left for the transaction."""
    repeated = _duplicates(connection, wave)
    fresh = [load for load in wave if load.load_id not in repeated]
    table, faults = _read(landing, fresh, readers, payloads)
    _fill_batch(connection, wave)
    if wave[0].kind != "bars":
        rows.stage(connection, table)
        return lambda: [
            _repeat(connection, load, repeated[load.load_id])
            if load.load_id in repeated
            else Outcome(load.load_id, load.kind, load.source, *counted)
            for load, counted in zip(wave, rows.store(connection, wave, set(repeated), faults), strict=True)
        ]
    fill_prefixes(connection)
    symbols = sorted({str(load.context.get("symbol") or load.request.get("symbol")) for load in wave})
    judging.fill_facts(connection, symbols)
    judging.fill_needed_sessions(connection)
    bars.stage_answers(connection, table if table is not None else rows.no_bars())
    bars.judge_grid(connection)
    return lambda: _insert_answers(connection, wave, repeated, faults)


def _insert_answers(
    connection: duckdb.DuckDBPyConnection,
    wave: Sequence[Load],
    repeated: Mapping[str, Outcome],
    faults: Mapping[str, str],
) -> list[Outcome]:
    judging.compare_with_stored(connection)
    judging.check(connection)
    judging.insert_bars(connection)
    bars.quarantine_answer_rows(connection)
    counts = judging.count_loads(connection)
    outcomes = []
    for load in wave:
        earlier = repeated.get(load.load_id)
        if earlier is not None:
            outcomes.append(_repeat(connection, load, earlier))
            continue
        count = counts.get(load.load_id, judging.Counts())
        status, error = bars_status(load, count, faults.get(load.load_id))
        outcomes.append(
            Outcome(
                load_id=load.load_id,
                kind=load.kind,
                source=load.source,
                status=status,
                rows_received=count.received,
                rows_new=count.new,
                rows_identical=count.identical,
                rows_superseding=count.superseding,
                rows_quarantined=count.quarantined,
                error=error,
            )
        )
    fresh = {outcome.load_id: outcome.status for outcome in outcomes if outcome.load_id not in repeated}
    registry.note_bars(connection, fresh)
    registry.note_stored_twins(connection)
    registry.note_answers(connection, [load for load in wave if load.load_id in fresh], outcomes)
    return outcomes


def bars_status(load: Load, count: judging.Counts, fault: str | None) -> tuple[str, str | None]:
    """Return status and error of a load of bars from what the request brought and how its rows were judged.

    Where the load was to reach a session, zero new bars are a success only when it is reached.
    """
    said = load.error or load.code
    reason = f"{load.code}: {said}" if load.code and load.code not in (said or "") else said
    if fault is not None:
        return "FAILED", f"BODY_PARSE: {fault}"
    if load.state == "failed":
        return ("REJECTED" if load.code == "SCHEMA_DRIFT" else "FAILED"), reason or "FAILED: nothing usable arrived"
    if load.state == "unknown_symbol":
        return "EMPTY", reason if load.code else f"UNKNOWN_SYMBOL: {said or 'the source does not know the symbol'}"
    if count.received == 0:
        return "EMPTY", reason or "the source has no bars of the symbol in this range"
    lost = None
    if count.quarantined:
        lost = f"{count.quarantined} of {count.received} rows are in quarantine: {count.codes}"
    if count.is_rejected or count.errors == count.received:
        return "REJECTED", lost
    if load.state == "partial":
        return "PARTIAL", "; ".join(filter(None, (reason or "PARTIAL: the answer is incomplete", lost)))
    if count.errors:
        return "PARTIAL", lost
    expected = load.context.get("expected_session")
    if load.context.get("reason") == "GAP" and not count.new + count.superseding:
        return "NO_PROGRESS", "; ".join(filter(None, ("the source has no bar of the gap", lost)))
    if expected is None:
        return ("OK" if count.new + count.superseding else "UP_TO_DATE"), lost
    if count.last_final is not None and count.last_final.isoformat() >= expected:
        return ("OK" if count.new_final else "UP_TO_DATE"), lost
    behind = f"the last final bar is of {count.last_final}, the last complete session is {expected}"
    if count.new_final:
        return "PARTIAL", "; ".join(filter(None, (f"BEHIND: {behind}", lost)))
    return "NO_PROGRESS", "; ".join(filter(None, (f"no new bar and {behind}", lost)))


def _insert_words(connection: duckdb.DuckDBPyConnection, landing: Landing, load: Load) -> Outcome:
    new, identical, superseding = words.insert_words(connection, landing, load)
    received = new + identical + superseding
    return Outcome(
        load_id=load.load_id,
        kind=load.kind,
        source=load.source,
        status=status_of(received=received, errors=0, changed=new + superseding),
        rows_received=received,
        rows_new=new,
        rows_identical=identical,
        rows_superseding=superseding,
        rows_quarantined=0,
    )


def apply_journal(connection: duckdb.DuckDBPyConnection, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of journal entries into their tables of `ops`; a registry row takes the place of its symbol's."""
    for entry in entries:
        names, values = list(entry["row"]), list(entry["row"].values())
        columns = ", ".join(f'"{name}"' for name in names)
        verb = "insert or replace" if entry["table"] == "ops.symbol_registry" else "insert"
        if entry["table"] not in JOURNALED:
            raise WarehouseError(
                f"a journal names the table {entry['table']}; one of {', '.join(JOURNALED)} was needed",
                remedy="restore the journal from a backup; nothing was changed",
            )
        marks = ", ".join("?" for _ in names)
        connection.execute(f"{verb} into {entry['table']} ({columns}) values ({marks})", values)


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
