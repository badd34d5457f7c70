"""Make the workbench again from the landing files, and its history from the published snapshot."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from quantmill.errors import MissingLanding, WarehouseError, WarehouseLocked
from quantmill.manifest.home import Home, writer_lock

from ingest.landing import Landing, sync_folder
from ingest.loads import Say
from ingest.schema import create_tables
from ingest.storing import Outcome, Readers, apply_journal, store_loads, take_snapshot
from ingest.workbench import Workbench, translated

if TYPE_CHECKING:
    import duckdb


def rebuild(
    home: Home, *, say: Say, wait_seconds: float | None = None, readers: Readers | None = None
) -> list[Outcome]:
    """Replay every landed load into a new file, restore history, and rename it over the workbench.

    Raises `MissingLanding` without landed loads, and `WarehouseError` for a damaged landing file, for a
    workbench that knows loads which the landing does not, and for a snapshot that cannot be read. The
    workbench is untouched then.
    """
    with writer_lock(home, holder="ingest rebuild", wait_seconds=wait_seconds, say=say):
        landing = Landing(home.landing)
        landing.sweep()
        loads = landing.all_loads()
        if not loads:
            raise MissingLanding(
                f"{home.landing} holds no load; there is nothing to rebuild from",
                remedy="run 'python -m ingest sample' to land the embedded data",
            )
        for load in loads:
            landing.verify_payload(load)
        _require_all_landed(home, {load.load_id for load in loads}, say)
        say(f"verified {len(loads)} landed loads")

        new = home.workbench.with_name("warehouse.rebuild.duckdb")
        _remove(new)
        try:
            outcomes = []
            with Workbench(new) as workbench, translated(new):
                create_tables(workbench.connection)
                journals = landing.read_journals()
                order = sorted({load.command_id for load in loads} | set(journals))
                by_command = {name: list(group) for name, group in groupby(loads, lambda load: load.command_id)}
                for command_id in order:
                    outcomes += store_loads(workbench, landing, by_command.get(command_id, []), readers=readers)
                    apply_journal(workbench.connection, journals.get(command_id, []))
                    take_snapshot(workbench.connection)
                say(f"replayed {len(loads)} loads")
                if home.snapshot.is_file():
                    restored = _restore_history(workbench.connection, home.snapshot)
                    for table, rows in restored:
                        say(f"restored {table}: {rows:,} rows from {home.snapshot.name}")
                    if not restored:
                        say(f"{home.snapshot.name} holds no history to restore")
                else:
                    say("no published snapshot: no history to restore")
                workbench.connection.execute("checkpoint")
        except BaseException:
            _remove(new)
            raise
        _swap(new, home.workbench)
        say(f"the workbench is {home.workbench}")
        return outcomes


def _require_all_landed(home: Home, landed: set[str], say: Say) -> None:
    """Raise `WarehouseError` when the old workbench knows a load without landing file: it would be lost."""
    import duckdb

    if not home.workbench.is_file():
        return
    try:
        with Workbench(home.workbench, read_only=True) as old:
            stored = {row[0] for row in old.connection.execute("select load_id from raw.loads").fetchall()}
    except WarehouseLocked:
        raise
    except (WarehouseError, duckdb.Error) as error:
        say(f"the old workbench cannot be read, so it is not compared: {str(error).splitlines()[0]}")
        return
    lost = sorted(stored - landed)
    if lost:
        raise WarehouseError(
            f"{len(lost)} loads of the workbench have no file in {home.landing} (first {lost[0]}); "
            "a rebuild would lose them",
            remedy="restore data/landing/loads from a backup, or move the workbench away and run it again",
            loads=lost,
        )


def _restore_history(connection: duckdb.DuckDBPyConnection, snapshot: Path) -> list[tuple[str, int]]:
    """Copy the tables that keep history, with constraints and comments; return (table, rows) of each."""
    import duckdb

    from ingest.bars import quoted

    def text(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    try:
        connection.execute(f"attach {text(str(snapshot))} as published (read_only)")
        tables = connection.execute(
            """
            select schema_name, table_name, sql, comment from duckdb_tables() as tables
            where database_name = 'published' and not temporary and (
                (schema_name in ('selection', 'tournaments') and exists (
                    select 1 from duckdb_columns() as columns
                    where columns.database_name = 'published' and columns.table_oid = tables.table_oid
                        and columns.column_name = 'run_id'))
                or (schema_name = 'features' and table_name like 'quality\\_%' escape '\\'))
            order by schema_name, table_name
            """
        ).fetchall()
        restored = []
        for schema, name, statement, comment in tables:
            target = f"{quoted(schema)}.{quoted(name)}"
            connection.execute(f"create schema if not exists {quoted(schema)}")
            connection.execute(statement)
            count = connection.execute(f"insert into {target} by name select * from published.{target}").fetchone()
            if comment is not None:
                connection.execute(f"comment on table {target} is {text(comment)}")
            columns = connection.execute(
                """
                select column_name, comment from duckdb_columns()
                where database_name = 'published' and schema_name = ? and table_name = ?
                    and comment is not null
                """,
                [schema, name],
            ).fetchall()
            for column, remark in columns:
                connection.execute(f"comment on column {target}.{quoted(column)} is {text(remark)}")
            restored.append((f"{schema}.{name}", int(count[0]) if count else 0))
        connection.execute("detach published")
    except duckdb.Error as error:
        raise WarehouseError(
            f"{snapshot} holds the history but cannot be read: {str(error).splitlines()[0]}",
            remedy="restore it, or move it away to rebuild without history; nothing was changed",
            path=str(snapshot),
        ) from error
    return restored


def _wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _wal(path).unlink(missing_ok=True)


def _swap(new: Path, workbench: Path) -> None:
    """Rename `new` over `workbench`, keeping the old file and its write-ahead log beside it.

    The old log must be gone before the new file takes the name, or DuckDB would replay it into the wrong
    file. If the process dies in between, the old file lacks the tail of its log, and the next command replays
    it from the landing.
    """
    if _wal(new).exists():
        raise WarehouseError(f"{new} was not written to its end", remedy="run 'make rebuild' again")
    handle = os.open(new, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    kept = workbench.with_name("warehouse.before-rebuild.duckdb")
    if workbench.exists():
        _remove(kept)
        os.link(workbench, kept)
        if _wal(workbench).exists():
            _wal(workbench).replace(_wal(kept))
    else:
        _wal(workbench).unlink(missing_ok=True)
    new.replace(workbench)
    sync_folder(workbench.parent)
