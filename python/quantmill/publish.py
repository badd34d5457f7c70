"""Publication: the two file steps around dbt's copy, so that readers see a whole snapshot or the old one."""

from __future__ import annotations

import os
from pathlib import Path

from quantmill.errors import WarehouseError
from quantmill.manifest.home import current_home


def publish_prepare() -> str:
    """Return the path to copy to, in the snapshot's folder; what an interrupted one left is removed."""
    staged = current_home().snapshot.with_suffix(".tmp")
    staged.parent.mkdir(parents=True, exist_ok=True)
    for leftover in (staged, _wal(staged)):
        leftover.unlink(missing_ok=True)
    return str(staged)


def publish_swap(staged: str) -> str:
    """Rename the copied file over the snapshot, both it and its folder flushed to disk, and return its path.

    Raises `WarehouseError` when the copy still has a write-ahead log, that is, when it was not checkpointed.
    """
    source = Path(staged)
    if _wal(source).exists():
        raise WarehouseError(f"{source} was not checkpointed: its write-ahead log is still there", remedy="build again")
    final = current_home().snapshot
    _flush(source)
    source.replace(final)
    _flush(final.parent)
    return str(final)


def _wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
