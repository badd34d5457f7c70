"""The landing: immutable files from which the workbench can be made again.

`payloads/<aa>/<sha256>.<extension>` holds the bytes that were received, `loads/<load_id>.json` says how to
replay one load. Each file is written under a temporary name, synced, renamed, and its folder is synced.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from quantmill.errors import WarehouseError

FORMAT = 1
PART = ".part"
_BLOCK = 1 << 20

Kind = Literal["bars", "symbol_metadata", "resolutions"]


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
    """Everything needed to replay one load. Times are `utc_text`; `symbols` are its valid ones, sorted."""

    load_id: str
    command_id: str
    kind: Kind
    source: str
    origin: str
    request: Mapping[str, Any]
    request_hash: str
    payload: str
    payload_sha256: str
    payload_bytes: int
    received_at: str
    started_at: str
    finished_at: str
    symbols: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
        last = datetime.strptime(previous.split("-")[0], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
        moment = max(moment, last + timedelta(microseconds=1))
    return f"{moment:%Y%m%dT%H%M%S%f}Z-{digest(content.encode())[:8]}"


class Landing:
    """The landing folder of one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.payloads = folder / "payloads"
        self.loads = folder / "loads"

    def payload_path(self, load: Load) -> Path:
        return self.payloads / load.payload

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
        body = {"format": FORMAT, **asdict(load)}
        body["record_sha256"] = digest(canonical_json(body).encode())
        _write_once(self.loads / f"{load.load_id}.json", (canonical_json(body) + "\n").encode())

    def load_ids(self) -> list[str]:
        """Return the ids of all landed loads, oldest first."""
        if not self.loads.is_dir():
            return []
        return sorted(path.stem for path in self.loads.glob("*.json"))

    def read_load(self, load_id: str) -> Load:
        """Return the record of one load. Raises `WarehouseError` naming the file when it is damaged."""
        path = self.loads / f"{load_id}.json"
        try:
            body = json.loads(path.read_bytes())
            stated = body.pop("record_sha256")
            found = digest(canonical_json(body).encode())
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise WarehouseError(
                f"{path} cannot be read as the record of a load: {error}",
                remedy="restore the file from a backup; nothing was changed",
                path=str(path),
            ) from error
        if found != stated:
            raise WarehouseError(
                f"{path} was changed after it was written: its hash is {found}, it states {stated}",
                remedy="restore the file from a backup; nothing was changed",
                path=str(path),
            )
        if body.pop("format") != FORMAT:
            raise WarehouseError(
                f"{path} was written by a newer version",
                remedy="use that version",
                path=str(path),
            )
        body["symbols"], body["notes"] = tuple(body["symbols"]), tuple(body["notes"])
        return Load(**body)

    def verify_payload(self, load: Load) -> None:
        """Raise `WarehouseError` naming the file unless the payload of `load` is there with its hash."""
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
        parts = [path for top in (self.payloads, self.loads) for path in top.rglob(f"*{PART}")]
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
