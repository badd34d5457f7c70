"""Where a project keeps its things, and the lock that lets one process write to the workbench.

The project root holds code and manifest. Its state (landing, workbench, runs, reports, published snapshot)
lives in the same folder, or in the one that the environment variable `QUANTMILL_HOME` names.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quantmill.errors import WarehouseLocked, WrongDirectory

PROJECT_FILE = "dbt_project.yml"


@dataclass(frozen=True)
class Home:
    """The folders of one project: `root` holds the code, `state` what it makes."""

    root: Path
    state: Path

    @property
    def manifest(self) -> Path:
        return self.root / "manifest"

    @property
    def workbench(self) -> Path:
        return self.state / "data" / "warehouse.duckdb"

    @property
    def landing(self) -> Path:
        return self.state / "data" / "landing"

    @property
    def lock(self) -> Path:
        return self.state / "data" / "warehouse.lock"

    @property
    def snapshot(self) -> Path:
        return self.state / "warehouse.duckdb"

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    @property
    def reports(self) -> Path:
        return self.state / "reports"

    @property
    def quality(self) -> Path:
        return self.state / "quality"


def find_home(start: Path, environment: Mapping[str, str]) -> Home:
    """Return the home of the project that `start` lies in.

    Raises `WrongDirectory` when neither `start` nor a folder above it is a quantmill project.
    """
    for folder in (start, *start.parents):
        project = folder / PROJECT_FILE
        if project.is_file() and "name: quantmill" in project.read_text(encoding="utf-8"):
            state = environment.get("QUANTMILL_HOME")
            return Home(root=folder, state=folder / state if state else folder)
    raise WrongDirectory(
        f"{start} is not inside a quantmill project: no {PROJECT_FILE} named quantmill here or above",
        remedy="change to the folder that was cloned and run the command again",
        start=str(start),
    )


def current_home() -> Home:
    """Return the home for the working directory and the process environment."""
    return find_home(Path.cwd(), os.environ)


@contextmanager
def writer_lock(
    home: Home, *, holder: str, wait_seconds: float | None = None, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Hold the workbench's single writer lock, naming `holder` to whoever comes second.

    A second writer says who holds the lock, waits up to `wait_seconds` (by default what the environment
    variable `QUANTMILL_LOCK_WAIT` says, or 60), then raises `WarehouseLocked`. The lock is an advisory lock
    of the operating system, so it ends with its process, however that ends.
    """
    if wait_seconds is None:
        wait_seconds = float(os.environ.get("QUANTMILL_LOCK_WAIT", "60"))
    home.lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + wait_seconds
        said = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                other = _holder(home.lock)
                if time.monotonic() >= deadline:
                    raise WarehouseLocked(
                        f"{home.workbench} is being written by {other}; waited {wait_seconds:.0f} s",
                        remedy="wait for it to end, or end it, and run the command again",
                        holder=other,
                    ) from None
                if not said:
                    say(f"waiting up to {wait_seconds:.0f} s: {home.workbench.name} is being written by {other}")
                    said = True
                time.sleep(0.1)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"holder": holder, "pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(handle)


def _holder(path: Path) -> str:
    """Return a description of the process named in the lock file."""
    text = path.read_text(encoding="utf-8").strip()
    if not text:
        return "a process that has not yet written its name"
    found = json.loads(text)
    return f"{found['holder']} (process {found['pid']})"
