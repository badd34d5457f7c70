"""The landing: immutable files from which the workbench can be made again.

`payloads/<aa>/<sha256>.<extension>` holds the bytes that were received, `loads/<load_id>.json` says how to
replay one load. Thousands of small answers would cost as many syncs, so what a command fetches lands in batches:
`batches/<stamp>-<count>.zip` holds the payloads and the records of the loads whose ids begin with `stamp` and the
`count` - 1 microseconds after it. `journals/<command_id>.json.gz` holds what a command wrote into the tables of `ops`,
which no payload tells. Each file is written under a temporary name, synced, renamed, and its folder is synced.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from quantmill.errors import WarehouseError

FORMAT = 2
PART = ".part"
_BLOCK = 1 << 20

Kind = Literal[
    "bars", "scan", "symbol_metadata", "execution_limits", "vendor_features", "corporate_actions", "resolutions",
    "symbol_aliases",
]  # fmt: skip
_STAMP = "%Y%m%dT%H%M%S%fZ"
# One date for all entries of an archive: equal contents make equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


Count = Callable[[str, str], int]


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys, no spaces, UTF-8, shortest floats and no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def utc_text(moment: datetime) -> str:
    """Return an aware `moment` as UTC text with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_moment(text: str) -> datetime:
    """Return the aware moment that `utc_text` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Load:
    """Everything needed to replay one load. Times are `utc_text`; `symbols` are its valid ones, sorted.

    `payload` is NULL where nothing arrived. `state`, `code` and `error` say how the request ended, as
    `ingest.answers.Answer` does; `context` is what the command knew that the bytes do not tell: the session that
    was to be reached, the pass, the reach of the request. `batch` names the archive that holds the load.
    """

    load_id: str
    command_id: str
    kind: Kind
    source: str
    origin: str
    request: Mapping[str, Any]
    request_hash: str
    payload: str | None
    payload_sha256: str | None
    payload_bytes: int
    received_at: str
    started_at: str
    finished_at: str
    symbols: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    state: str = "complete"
    code: str | None = None
    error: str | None = None
    attempts: tuple[Mapping[str, Any], ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    batch: str | None = None


def request_hash(kind: Kind, source: str, request: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what was asked, without times and file names."""
    return digest(canonical_json({"kind": kind, "source": source, "request": request}).encode())


def next_load_id(now: datetime, previous: str | None, content: str) -> str:
    """Return a load id that sorts after `previous`: the UTC stamp of `now` and 8 hex digits of `content`.

    A clock that stands still or runs back cannot break the order: the stamp is then one microsecond after the
    last.
    """
    moment = now.astimezone(UTC)
    if previous is not None:
        moment = max(moment, stamp_moment(previous) + timedelta(microseconds=1))
    return f"{moment:%Y%m%dT%H%M%S%f}Z-{digest(content.encode())[:8]}"


def stamp_moment(load_id: str) -> datetime:
    """Return the moment in the stamp of a load id."""
    return datetime.strptime(load_id.split("-", maxsplit=1)[0], _STAMP).replace(tzinfo=UTC)


class Landing:
    """The landing folder of one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.payloads = folder / "payloads"
        self.loads = folder / "loads"
        self.batches = folder / "batches"
        self.journals = folder / "journals"
        self._last: str | None = None
        self._is_listed = False
        self._open: tuple[str, zipfile.ZipFile] | None = None

    def payload_path(self, load: Load) -> Path:
        """Return the file of a payload that stands alone."""
        assert load.payload is not None
        return self.payloads / load.payload

    def payload(self, load: Load) -> bytes:
        """Return the bytes of a load, checked against their hash. Raises `WarehouseError` naming the damaged file."""
        if load.batch is None:
            return self.payload_path(load).read_bytes()
        data = self._member(load.batch, f"payloads/{load.payload}")
        if digest(data) != load.payload_sha256:
            raise WarehouseError(
                f"{self.batches / load.batch} is damaged: {load.payload} has another hash than its name",
                remedy="restore the file from a backup; nothing was changed",
                path=str(self.batches / load.batch),
            )
        return data

    def keep_payload(self, data: bytes, extension: str) -> tuple[str, str]:
        """Keep `data` under its hash and return (path below `payloads`, SHA-256); an equal file is verified
        and reused.

        Raises `WarehouseError` when a file of that name holds other bytes.
        """
        sha256 = digest(data)
        name = f"{sha256[:2]}/{sha256}.{extension}"
        path = self.payloads / name
        if path.exists():
            self._verify(path, sha256)
        else:
            _write_once(path, data)
        return name, sha256

    def keep_batch(self, loads: Sequence[Load], payloads: Mapping[str, bytes]) -> list[Load]:
        """Keep the records of `loads`, whose stamps follow each other, and their payloads by name in one archive.

        Returns the loads with the archive's name. The archive is on the disk, whole, when this returns.
        """
        first = loads[0].load_id.split("-")[0]
        name = f"{first}-{len(loads)}.zip"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for payload, data in sorted(payloads.items()):
                archive.writestr(zipfile.ZipInfo(f"payloads/{payload}", _EPOCH), data, zipfile.ZIP_DEFLATED, 1)
            kept = [replace(load, batch=name) for load in loads]
            records = "".join(self._record(load) + "\n" for load in kept)
            archive.writestr(zipfile.ZipInfo("loads.jsonl", _EPOCH), records, zipfile.ZIP_DEFLATED, 1)
        _write_once(self.batches / name, buffer.getvalue())
        self._last = max(self._last or "", loads[-1].load_id)
        return kept

    def _member(self, batch: str, member: str) -> bytes:
        """Return one member of an archive; the archive stays open for the next."""
        path = self.batches / batch
        try:
            if self._open is None or self._open[0] != batch:
                self.close()
                self._open = (batch, zipfile.ZipFile(path))
            return self._open[1].read(member)
        except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise WarehouseError(
                f"{path} cannot be read: {error}",
                remedy="restore the file from a backup; nothing was changed",
                path=str(path),
            ) from error

    def close(self) -> None:
        """Close the archive that was read last."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def batch_names(self) -> list[str]:
        """Return the names of all archives, oldest first."""
        return sorted(path.name for path in self.batches.glob("*.zip")) if self.batches.is_dir() else []

    def read_batch(self, name: str) -> list[Load]:
        """Return the records of one archive, by load id. Raises `WarehouseError` when it is damaged."""
        text = self._member(name, "loads.jsonl").decode()
        return [self._parsed(line, self.batches / name) for line in text.splitlines()]

    def last_load_id(self) -> str | None:
        """Return the newest load id of the landing. The folders are listed once; what is kept later is remembered."""
        if not self._is_listed:
            singles = max((path.stem for path in self.loads.glob("*.json")), default=None)
            batches = self.batch_names()
            batch = self.read_batch(batches[-1])[-1].load_id if batches else None
            self._last = max((name for name in (self._last, singles, batch) if name is not None), default=None)
            self._is_listed = True
        return self._last

    def keep_journal(self, command_id: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Keep what a command wrote into `ops`; one command may do so several times, the order is that of the names."""
        number = len(list(self.journals.glob(f"{command_id}.*.json.gz"))) if self.journals.is_dir() else 0
        data = gzip.compress((canonical_json(list(entries)) + "\n").encode(), mtime=0)
        _write_once(self.journals / f"{command_id}.{number:04d}.json.gz", data)

    def read_journals(self) -> dict[str, list[Mapping[str, Any]]]:
        """Return the entries of all journals by command id. Raises `WarehouseError` naming a damaged file."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for path in sorted(self.journals.glob("*.json.gz")) if self.journals.is_dir() else []:
            try:
                entries = json.loads(gzip.decompress(path.read_bytes()))
            except (OSError, EOFError, ValueError, zlib.error) as error:
                raise WarehouseError(
                    f"{path} cannot be read: {error}",
                    remedy="restore the file from a backup; nothing was changed",
                    path=str(path),
                ) from error
            found.setdefault(path.name.split(".")[0], []).extend(entries)
        return found

    @contextmanager
    def incoming(self, data: bytes) -> Iterator[Path]:
        """Give `data` as a temporary file, to be read before it is decided whether it is kept."""
        self.payloads.mkdir(parents=True, exist_ok=True)
        path = self.payloads / f"incoming{PART}"
        path.write_bytes(data)
        try:
            yield path
        finally:
            path.unlink()

    def keep_load(self, load: Load) -> None:
        """Write the record of `load`, with a hash of itself."""
        _write_once(self.loads / f"{load.load_id}.json", (self._record(load) + "\n").encode())
        self._last = max(self._last or "", load.load_id)

    @staticmethod
    def _record(load: Load) -> str:
        body = {"format": FORMAT, **asdict(load)}
        body["record_sha256"] = digest(canonical_json(body).encode())
        return canonical_json(body)

    def load_ids(self) -> list[str]:
        """Return the ids of all landed loads, oldest first."""
        singles = [path.stem for path in self.loads.glob("*.json")] if self.loads.is_dir() else []
        batched = [load.load_id for name in self.batch_names() for load in self.read_batch(name)]
        return sorted([*singles, *batched])

    def all_loads(self) -> list[Load]:
        """Return the records of all landed loads, oldest first."""
        singles = sorted(path.stem for path in self.loads.glob("*.json")) if self.loads.is_dir() else []
        batched = [load for name in self.batch_names() for load in self.read_batch(name)]
        return sorted([*(self.read_load(name) for name in singles), *batched], key=lambda load: load.load_id)

    def waiting(self, is_stored: Callable[[Sequence[str]], set[str]], count_between: Count) -> list[Load]:
        """Return the landed loads that the workbench does not hold, oldest first.

        `is_stored` returns those of some load ids that are stored, `count_between` how many stored ids lie between
        two stamps: an archive whose loads are all stored is not opened.
        """
        singles = sorted(path.stem for path in self.loads.glob("*.json")) if self.loads.is_dir() else []
        done = is_stored(singles)
        found = [self.read_load(name) for name in singles if name not in done]
        for name in self.batch_names():
            first, _, count = name.removesuffix(".zip").rpartition("-")
            end = stamp_moment(first) + timedelta(microseconds=int(count))
            if count_between(first, f"{end:%Y%m%dT%H%M%S%f}Z") < int(count):
                batch = self.read_batch(name)
                done = is_stored([load.load_id for load in batch])
                found += [load for load in batch if load.load_id not in done]
        return sorted(found, key=lambda load: load.load_id)

    def read_load(self, load_id: str) -> Load:
        """Return the record of one load that stands alone. Raises `WarehouseError` naming a damaged file."""
        path = self.loads / f"{load_id}.json"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error
        return self._parsed(text, path)

    @staticmethod
    def _parsed(text: str, path: Path) -> Load:
        try:
            body = json.loads(text)
            stated = body.pop("record_sha256")
            found = digest(canonical_json(body).encode())
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise _unreadable(path, error) from error
        if found != stated:
            raise WarehouseError(
                f"{path} was changed after it was written: its hash is {found}, it states {stated}",
                remedy="restore the file from a backup; nothing was changed",
                path=str(path),
            )
        if body.pop("format") not in (1, FORMAT):
            raise WarehouseError(
                f"{path} was written by a newer version",
                remedy="use that version",
                path=str(path),
            )
        for name in ("symbols", "notes", "attempts"):
            body[name] = tuple(body.get(name, ()))
        return Load(**body)

    def verify_payload(self, load: Load) -> None:
        """Raise `WarehouseError` naming the file unless the payload of `load` is there with its hash."""
        if load.payload is None or load.payload_sha256 is None:
            return
        if load.batch is not None:
            self.payload(load)
            return
        path = self.payload_path(load)
        if not path.is_file():
            raise WarehouseError(
                f"{path} is missing: it is the payload of load {load.load_id} ({load.origin})",
                remedy="restore the file from a backup; nothing was changed",
                path=str(path),
            )
        self._verify(path, load.payload_sha256)

    def sweep(self) -> int:
        """Remove what a killed writer left under temporary names and return how many files that were."""
        tops = (self.payloads, self.loads, self.batches, self.journals)
        parts = [path for top in tops for path in top.rglob(f"*{PART}")]
        for path in parts:
            path.unlink()
        return len(parts)

    def _verify(self, path: Path, sha256: str) -> None:
        found = _file_digest(path)
        if found != sha256:
            raise WarehouseError(
                f"{path} is damaged: its hash is {found}, its name says {sha256}",
                remedy="restore the file from a backup or remove it and land it again; nothing was changed",
                path=str(path),
            )


def _unreadable(path: Path, error: Exception) -> WarehouseError:
    return WarehouseError(
        f"{path} cannot be read as the record of a load: {error}",
        remedy="restore the file from a backup; nothing was changed",
        path=str(path),
    )


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_once(path: Path, data: bytes) -> None:
    """Write `data` to the new file `path` so that a crash leaves all of it or nothing."""
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view[:_BLOCK]) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    part.replace(path)
    sync_folder(path.parent)
    for folder in missing:
        sync_folder(folder.parent)
