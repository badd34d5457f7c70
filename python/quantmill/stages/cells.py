"""Finished pieces of an unfinished run, kept in files named by a digest of what they were made from.

A build that was interrupted finds them and goes on; a finished run needs them no more. The tables are the truth,
this folder can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.ledger import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CellStore:
    """The pieces of one run: `folder` holds them, `inputs` are the hashes of all that the run reads."""

    folder: Path
    inputs: Mapping[str, str]

    def finished(self, stage: str, piece: Mapping[str, Any], make: Callable[[], pa.Table]) -> tuple[pa.Table, bool]:
        """Return the table of one piece of work, and whether it was found rather than made.

        `piece` says what it is; together with the inputs of the run it names the file. The name carries a digest
        of the content too: a damaged file is told of on standard error and made again.
        """
        work = canonical_json({"stage": stage, "piece": dict(piece), "inputs": dict(self.inputs)})
        name = hashlib.sha256(work.encode()).hexdigest()[:32]
        for path in sorted(self.folder.glob(f"{name}-*.arrow")):
            content = path.read_bytes()
            if path.stem == f"{name}-{_digest(content)}":
                return _read(content), True
            print(f"{path} is damaged; it is made again", file=sys.stderr)
            path.unlink()
        table = make()
        content = _write(table)
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"{name}-{_digest(content)}.arrow"
        staged = final.with_suffix(".tmp")
        with staged.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(final)
        return table, False

    def forget(self) -> None:
        """Delete all pieces of the run."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _write(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _read(content: bytes) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_file(pa.BufferReader(content)).read_all()
