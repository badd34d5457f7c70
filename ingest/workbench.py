"""The workbench file, opened with its faults translated into errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from quantmill.errors import WarehouseError, WarehouseLocked

if TYPE_CHECKING:
    import duckdb

REBUILD = "run 'make rebuild' to make the workbench again from the landing files"

# What DuckDB may hold before it spills to disk: millions of bars land within 2 GB, the payload and Python included.
MEMORY = "900MB"

_DAMAGE = ("not a valid duckdb database", "checksum", "corrupt", "wal", "deserializ")

# ingest never lets DuckDB fetch an extension: the ones it needs are linked into the wheel.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


class Workbench:
    """One read-write or read-only connection to a workbench file, in UTC.

    Raises `WarehouseLocked` when another process holds the file and `WarehouseError` when it cannot be read.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.connection = self._connect()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        if not self.read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with translated(self.path):
            connection = duckdb.connect(str(self.path), read_only=self.read_only, config=_CONFIG)
            connection.execute("set TimeZone = 'UTC'")
            connection.execute(f"set memory_limit = '{MEMORY}'")
        return connection

    def reopen(self) -> None:
        """Open the file anew; a connection whose COMMIT failed is dead and its temporary tables are gone."""
        self.close()
        self.connection = self._connect()

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Workbench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn DuckDB's complaints about the file `path` into `WarehouseLocked` and `WarehouseError`."""
    import duckdb

    try:
        yield
    except (
        duckdb.IOException,
        duckdb.FatalException,
        duckdb.InternalException,
        duckdb.SerializationException,
    ) as error:
        first = str(error).strip().splitlines()[0]
        lower = first.lower()
        if "conflicting lock" in lower or "could not set lock" in lower:
            raise WarehouseLocked(
                f"{path} is open in another process: {first}",
                remedy="close it and run the command again",
                path=str(path),
            ) from error
        if "no space left" in lower or "disk full" in lower:
            raise WarehouseError(
                f"the disk of {path} is full: {first}",
                remedy="free some space and run the command again; what was landed is replayed",
                path=str(path),
            ) from error
        is_damage = not isinstance(error, duckdb.IOException) or any(word in lower for word in _DAMAGE)
        remedy = REBUILD if is_damage else "check the disk and the permissions of the folder"
        raise WarehouseError(f"{path} cannot be used: {first}", remedy=remedy, path=str(path)) from error
    except duckdb.OutOfMemoryException as error:
        raise WarehouseError(
            f"the rows of one command do not fit into {MEMORY} and the disk beside {path}",
            remedy="free some disk space, or land the file in parts; nothing of the load was stored",
            path=str(path),
        ) from error
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
