"""Read-only access to the published snapshot, and to the workbench while nobody writes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.errors import MissingLanding, UsageError, WarehouseError
from quantmill.manifest.home import Home, writer_lock

if TYPE_CHECKING:
    import duckdb


@contextmanager
def read_snapshot(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published snapshot read-only.

    Raises `WarehouseError` when it is missing or does not open.
    """
    if not home.snapshot.is_file():
        raise WarehouseError(f"{home.snapshot} is not there: nothing has been published yet", remedy="run 'make run'")
    remedy = "build again; a build without errors publishes a new one"
    with _opened(home.snapshot, "published snapshot", remedy) as connection:
        yield connection


@contextmanager
def read_workbench(home: Home, *, say: Callable[[str], None]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the workbench read-only: what has landed and what a build has made of it, published or not.

    It takes the writer lock, so that a cycle or a build that begins now waits for the answer. While one is under way
    it says so with `say`, waits as a writer would and then raises `WarehouseLocked`. Raises `MissingLanding` without
    a workbench, and `WarehouseError` when the file does not open.
    """
    if not home.workbench.is_file():
        raise MissingLanding(
            f"{home.workbench} is not there: nothing was landed yet",
            remedy="run 'python -m ingest sample', or 'make rebuild' if there are landing files",
        )
    remedy = "end whatever holds it; if the file is damaged, 'make rebuild' makes it again"
    with (
        writer_lock(home, holder="quantmill sql --workbench", say=say),
        _opened(home.workbench, "workbench", remedy) as connection,
    ):
        yield connection


@contextmanager
def _opened(path: Path, name: str, remedy: str) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise WarehouseError(f"the {name} {path} does not open: {str(error).splitlines()[0]}", remedy=remedy) from None
    try:
        yield connection
    finally:
        connection.close()


def rows(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of `query` as mappings by column name."""
    cursor = connection.execute(query, parameters or [])
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def find_run(connection: duckdb.DuckDBPyConnection, *, run_id: str | None = None, profile: str | None = None) -> str:
    """Return `run_id` if the snapshot holds it, else the newest run of `profile`, one without overrides first.

    Raises `UsageError` naming the runs that are there.
    """
    known = connection.execute(
        "select run_id, profile from selection.runs order by is_overridden, opened_at_utc desc, run_id"
    ).fetchall()
    for found, its_profile in known:
        if found == run_id or (run_id is None and its_profile == profile):
            return str(found)
    asked = f"run '{run_id}'" if run_id else f"a run of profile '{profile}'"
    raise UsageError(
        f"{asked} is not in the published snapshot; it has {', '.join(row[0] for row in known) or 'no runs'}",
        remedy="'python -m quantmill list runs' shows what can be asked for",
    )
