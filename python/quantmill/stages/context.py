"""What every stage needs of its surroundings: home, clock, the code's digest, the run and its ledger."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.errors import DataContractError
from quantmill.frames import require_columns
from quantmill.ledger_file import LedgerFile
from quantmill.manifest.compose import settings_from_rows
from quantmill.manifest.home import Home, current_home
from quantmill.manifest.settings import Settings
from quantmill.stages.cells import CellStore

if TYPE_CHECKING:
    import pyarrow as pa

# What decides a run beside its settings and data. The manifest is not among it: its resolved part is in the
# settings.
CODE_FOLDERS = ("models", "macros", "python")
CODE_FILES = ("requirements.lock",)
RUN_ID = re.compile(r"[a-z0-9_]+-[0-9]{8}-[0-9a-f]{8}")
CODE_SUFFIXES = (".py", ".sql", ".yml", ".csv", ".md", ".j2", ".lock")


@dataclass(frozen=True)
class RunContext:
    """The run that a stage works for."""

    run_id: str
    is_sealed: bool
    settings: Settings
    home: Home
    inputs: Mapping[str, str]

    @property
    def ledger_path(self) -> Path:
        return ledger_path(self.home, self.run_id)

    @property
    def cells(self) -> CellStore:
        """The finished pieces of the run."""
        return CellStore(self.home.runs / self.run_id / "cells", self.inputs)

    def ledger(self) -> LedgerFile:
        """Return the run's ledger, open for appending."""
        return LedgerFile.open(self.ledger_path, self.run_id, now)


def now() -> datetime:
    """The clock of the ledger. Nothing is decided by it."""
    return datetime.now(UTC)


def ledger_path(home: Home, run_id: str) -> Path:
    """Return where the ledger of a run is kept."""
    return home.runs / run_id / "audit.jsonl"


def read_context(current_run: Any, settings: Any) -> RunContext:
    """Return the context for the relations `work.current_run` (one row) and `work.calc_settings`."""
    run = current_run.to_arrow_table()
    require_columns(run, ("run_id", "is_sealed"), name="current_run")
    if run.num_rows != 1:
        raise DataContractError(
            f"current_run has {run.num_rows} rows; one was needed", remedy="build the model calc_run again"
        )
    row = run.to_pylist()[0]
    values = dict(settings.project("key, value").fetchall())
    return RunContext(
        run_id=row["run_id"],
        is_sealed=row["is_sealed"],
        settings=settings_from_rows(values),
        home=current_home(),
        inputs={name: row[name] for name in ("settings_hash", "snapshot_hash", "code_hash")},
    )


def code_hash(root: Path) -> str:
    """Return the SHA-256 over names and contents of models, macros, Python and the lock file."""
    return digest_of_files(root, (*CODE_FILES, *CODE_FOLDERS))


def digest_of_files(root: Path, names: Sequence[str]) -> str:
    """Return the SHA-256 over names and contents of the files `names` below `root`, and of the code in such folders."""
    files = []
    for name in names:
        if (root / name).is_file():
            files.append(root / name)
        files += [path for path in (root / name).rglob("*") if path.suffix in CODE_SUFFIXES and path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def fetch(relation: Any, run_id: str, order: str = "", *, columns: str = "") -> pa.Table:
    """Return the run's rows of a DuckDB relation as one Arrow table, ordered by the columns in `order`."""
    rows = relation.filter(f"run_id = '{_checked(run_id)}'")
    if columns:
        rows = rows.project(columns)
    return (rows.order(order) if order else rows).to_arrow_table()


def _checked(run_id: str) -> str:
    """Return `run_id` if it is one of ours, so that it may stand in a query."""
    if not RUN_ID.fullmatch(run_id):
        raise DataContractError(
            f"{run_id!r} is not a run id; <profile>-<YYYYMMDD>-<8 hex digits> was needed",
            remedy="'python -m quantmill list runs' shows the runs",
        )
    return run_id
