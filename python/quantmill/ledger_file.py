"""The ledger of one run on disk: a file of lines that is only ever appended to, one group at a time."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from quantmill.errors import DataContractError, LedgerError
from quantmill.ledger import (
    Chain,
    Entry,
    Record,
    attempt_key,
    follow,
    intent_key,
    seal_record,
    utc_text,
)

_SHA256 = re.compile("[0-9a-f]{64}")
_EVENT_ACTIONS = ("VETO", "GATE", "OVERRIDE", "ARTIFACT")


@dataclass(frozen=True)
class Outcome:
    """How announced work ended: `status` is success, empty, error or skipped.

    `context` is the one that `LedgerFile.intents` returned; `data` holds any JSON tree, the other objects
    scalars.
    """

    context: Mapping[str, Any]
    status: str
    outcome: Mapping[str, Any] = field(default_factory=dict)
    output_hashes: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


class LedgerFile:
    """The one writer of a run's `audit.jsonl`.

    A group of records is one write, and is on the disk (fsync) when the call returns, so an INTENT is there
    before the work that it announces. A write that fails is taken back and leaves file and object as they
    were. The object holds no open file, so it needs no closing. A second writer is refused: the file must be
    as this object left it.
    """

    def __init__(self, path: Path, run_id: str, clock: Callable[[], datetime], chain: Chain, size: int) -> None:
        """Use `start` or `open`."""
        self._path = path
        self._run_id = run_id
        self._clock = clock
        self._chain = chain
        self._size = size

    @classmethod
    def start(
        cls, path: Path, run_id: str, clock: Callable[[], datetime], genesis_data: Mapping[str, Any]
    ) -> LedgerFile:
        """Begin the ledger of `run_id` at `path` with a GENESIS, or resume the one that stands there.

        Resuming verifies what is there, moves a torn last line to `audit.torn` beside it, appends a RESUME
        (data: reason and torn bytes) and closes each open INTENT with an OUTCOME `error`. A sealed ledger may
        be resumed, for a run whose build failed after the seal. A file torn inside its first line has
        announced nothing: it gets a GENESIS and then its RESUME. `clock` returns aware times; a clock that
        runs backwards is held at the last recorded time.

        Raises `LedgerError` where the chain on disk is broken or belongs to another run.
        """
        _make_folder(path.parent)
        is_new = not path.exists()
        with _locked(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as handle:
            if is_new:
                _sync_folder(path.parent)
            chain, whole, torn = _read(path, run_id)
            if torn:
                _move_torn(path, handle, whole, torn)
            ledger = cls(path, run_id, clock, chain, whole)
            entries = []
            if not chain.count:
                entries.append(Entry("GENESIS", "run", "success", data=genesis_data))
            # What came into being between the question and the lock is somebody's ledger too.
            if not is_new or chain.count:
                reason = "the ledger was unfinished" if chain.seal is None else "the ledger was sealed"
                data = {"reason": reason, "torn_bytes": len(torn)}
                entries.append(Entry("RESUME", "run", "success", data=data))
                entries += [
                    Entry("OUTCOME", step, "error", context=context, outcome={"error": "interrupted"})
                    for _, step, context in sorted(chain.open_intents.values(), key=lambda item: item[0])
                ]
            ledger._write(handle, entries)
        return ledger

    @classmethod
    def open(cls, path: Path, run_id: str, clock: Callable[[], datetime]) -> LedgerFile:
        """Continue the ledger that `start` began, reading and verifying it once.

        Raises `LedgerError` where it is missing, torn, broken, sealed, empty or of another run.
        """
        with _locked(path, os.O_RDWR | os.O_APPEND):
            chain, whole, torn = _read(path, run_id)
        if torn or not chain.count or chain.seal is not None:
            found = f"ends in {len(torn)} bytes of a torn line" if torn else "has no records"
            found = "is sealed" if chain.seal is not None and not torn else found
            raise LedgerError(
                f"{path} {found}; a whole, unsealed ledger was needed",
                remedy="run the build again: it resumes the run from its ledger",
                path=str(path),
            )
        return cls(path, run_id, clock, chain, whole)

    @property
    def head(self) -> str:
        """Hash of the last record: the chain head that the run keeps elsewhere."""
        return self._chain.head

    @property
    def record_count(self) -> int:
        """Number of records in the file."""
        return self._chain.count

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the file, each with its line feed."""
        with self._path.open("rb") as file:
            yield from file

    def open_contexts(self, step: str) -> list[dict[str, Any]]:
        """Return the contexts of the announced work of `step` that has no outcome yet, oldest first."""
        waiting = [found for found in self._chain.open_intents.values() if found[1] == step]
        return [dict(context) for _, _, context in sorted(waiting, key=lambda found: found[0])]

    def intents(
        self,
        step: str,
        contexts: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        input_hashes: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        """Announce one piece of work per context; return the contexts with `attempt`, for `outcomes`.

        `params` and `input_hashes` are one mapping for all or one per context. `attempt` is the ledger's to
        give: 1, or one more than the last in the file; one that a context already carries is replaced.

        Raises `DataContractError` where two contexts are equal or the work is open from an earlier call.
        """
        all_params = _per_context(params, len(contexts), "params")
        all_hashes = _per_context(input_hashes, len(contexts), "input_hashes")
        busy = {attempt_key(name, context) for _, name, context in self._chain.open_intents.values()}
        numbered = []
        for context in contexts:
            key = attempt_key(step, context)
            if key in busy:
                raise DataContractError(
                    f"work on step {step} with context {dict(context)} is announced while it is open",
                    remedy="announce each piece of work once, and record its outcome before the next attempt",
                    context=dict(context),
                )
            busy.add(key)
            numbered.append({**context, "attempt": self._chain.attempts.get(key, 0) + 1})
        self._append(
            [
                Entry("INTENT", step, "open", context=context, params=own_params, input_hashes=own_hashes)
                for context, own_params, own_hashes in zip(numbered, all_params, all_hashes, strict=True)
            ]
        )
        return numbered

    def outcomes(self, step: str, items: Sequence[Outcome]) -> None:
        """Record how announced work ended, one record per item.

        Raises `DataContractError` where an item's context is not that of an open intent of `step`.
        """
        answered = set()
        for item in items:
            key = intent_key(step, item.context)
            if key not in self._chain.open_intents or key in answered:
                raise DataContractError(
                    f"the outcome of step {step} with context {dict(item.context)} answers no open intent",
                    remedy="pass each context once, as intents returned it",
                    context=dict(item.context),
                )
            answered.add(key)
        self._append(
            [
                Entry(
                    "OUTCOME",
                    step,
                    item.status,
                    context=item.context,
                    output_hashes=item.output_hashes,
                    outcome=item.outcome,
                    data=item.data,
                )
                for item in items
            ]
        )

    def append(self, entries: Sequence[Entry]) -> None:
        """Record vetoes, gates, overrides and artifacts; the other actions have methods of their own.

        Raises `DataContractError` for another action.
        """
        for entry in entries:
            if entry.action not in _EVENT_ACTIONS:
                raise DataContractError(
                    f"append got the action {entry.action}; it takes {', '.join(_EVENT_ACTIONS)}",
                    remedy="use start, intents, outcomes or seal",
                )
        self._append(entries)

    def seal(self, tables: Mapping[str, tuple[int, str]]) -> Record:
        """Close the ledger with the row count and frame hash of each table; return the SEAL.

        Raises `LedgerError` where intents are open, `DataContractError` for a table without count or hash.
        """
        if self._chain.open_intents:
            first, step, context = min(self._chain.open_intents.values(), key=lambda item: item[0])
            count = len(self._chain.open_intents)
            raise LedgerError(
                f"{self._path} has {count} open intents; sequence {first} is step {step}, context {context}",
                remedy="record their outcomes before the seal",
                sequence=first,
            )
        for name, (rows, digest) in tables.items():
            if type(rows) is not int or rows < 0 or not _SHA256.fullmatch(str(digest)):
                raise DataContractError(
                    f"table {name} is to be sealed with {rows!r} rows and hash {digest!r}",
                    remedy="pass a whole number of rows and the frame hash of the table",
                    table=name,
                )
        data = {
            "record_count": self._chain.count + 1,
            "tables": {name: {"rows": rows, "hash": digest} for name, (rows, digest) in tables.items()},
        }
        return self._append([Entry("SEAL", "run", "success", data=data)])[0]

    def _append(self, entries: Sequence[Entry]) -> list[Record]:
        if self._chain.seal is not None:
            raise LedgerError(f"{self._path} is sealed; nothing may follow", remedy="start the run again to resume it")
        if not entries:
            return []
        with _locked(self._path, os.O_RDWR | os.O_APPEND) as handle:
            return self._write(handle, entries)

    def _write(self, handle: int, entries: Sequence[Entry]) -> list[Record]:
        """Append `entries` as one group to the locked file and continue the chain with them."""
        found = os.fstat(handle).st_size
        if found != self._size:
            raise LedgerError(
                f"{self._path} has {found} bytes; this writer left {self._size}: another one was here",
                remedy="let one process write the ledger of a run, and open it again to continue",
                path=str(self._path),
            )
        # Times of equal form compare as text; the clock of a machine may be set back.
        ts = max(utc_text(self._clock()), self._chain.last_ts)
        records: list[Record] = []
        head = self._chain.head
        for seq, entry in enumerate(entries, start=self._chain.count):
            records.append(seal_record(entry, run_id=self._run_id, seq=seq, ts=ts, prev_hash=head))
            head = records[-1].hash
        group = b"".join([record.line() for record in records])
        _write_whole(self._path, handle, group, self._size)
        self._size += len(group)
        for record in records:
            breach = self._chain.link(record)
            if breach is not None:
                raise LedgerError(
                    f"{self._path}: sequence {breach.first_bad_sequence}: {breach.reason}",
                    remedy="report this as a defect of the ledger",
                )
        return records


def _per_context(
    given: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None, count: int, name: str
) -> Sequence[Mapping[str, Any]]:
    if given is None:
        return [{}] * count
    if isinstance(given, Mapping):
        return [given] * count
    if len(given) != count:
        raise DataContractError(
            f"{name} holds {len(given)} mappings for {count} contexts",
            remedy="pass one mapping for all contexts, or one per context",
        )
    return given


def _read(path: Path, run_id: str) -> tuple[Chain, int, bytes]:
    """Return the chain of the whole lines of `path`, their size in bytes, and the torn bytes after them."""
    chain = Chain()
    whole = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return chain, whole, line
            breach = follow(chain, line)
            if breach is not None:
                raise LedgerError(
                    f"{path} is broken at sequence {breach.first_bad_sequence}: {breach.reason}",
                    remedy="compare it with tournaments.audit_ledger, or move its folder away to begin anew",
                    sequence=breach.first_bad_sequence,
                    code=breach.code,
                )
            if chain.run_id != run_id:
                raise LedgerError(
                    f"{path} is the ledger of run {chain.run_id}; the ledger of {run_id} was needed",
                    remedy="give each run a folder of its own",
                    run_id=chain.run_id,
                )
            whole += len(line)
    return chain, whole, b""


def _move_torn(path: Path, handle: int, whole: int, torn: bytes) -> None:
    """Move `torn` from the end of the file to `audit.torn`; it is safe there before it is gone here."""
    shelf = path.with_suffix(".torn")
    kept = os.open(shelf, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(kept).st_size
        _write_whole(shelf, kept, b"\n" + torn if size else torn, size)
    finally:
        os.close(kept)
    _sync_folder(path.parent)
    os.ftruncate(handle, whole)
    os.fsync(handle)


def _write_whole(path: Path, handle: int, content: bytes, size: int) -> None:
    """Append `content` with one write and bring it to the disk; on failure cut back to `size` bytes."""
    try:
        written = os.write(handle, content)
        if written != len(content):
            raise OSError(f"{written} of {len(content)} bytes were written")
        os.fsync(handle)
    except OSError as error:
        os.ftruncate(handle, size)
        os.fsync(handle)
        raise LedgerError(
            f"{path} could not take {len(content)} bytes: {error}",
            remedy="free space on its disk and run the build again: it resumes",
            path=str(path),
        ) from error


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    """Open `path` and hold its lock, so that no two writers append at once."""
    try:
        handle = os.open(path, flags, 0o644)
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be opened: {error.strerror}",
            remedy="start the run's ledger first, and check that its folder can be written",
            path=str(path),
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    """Make `folder` and those above it, each name on the disk in the folder that holds it."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"{folder} cannot be made: {error.strerror}",
            remedy="check that the folder above it can be written",
            path=str(folder),
        ) from error
    for place in missing:
        _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
