"""Running the project as a user would, in a home of its own, and asking what came of it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from quantmill.manifest.home import Home

ROOT = Path(__file__).resolve().parents[1]

# A matrix of two portfolios on the whole pool, for builds that are not about the size of the matrix.
SMALL: dict[str, Any] = {
    "matrix__selection_engines": ["baseline"],
    "matrix__rebalance_modes": ["window"],
    "matrix__engines": ["custom"],
    "matrix__risk_profiles": ["equal_weight", "min_variance"],
    "matrix__exclude": [],
    "headline__selection_engine": "baseline",
    "headline__risk_profile": "min_variance",
}
# The same on a short grid of 8 windows instead of 62, for builds that are about runs and publication, or bad input.
SHORT: dict[str, Any] = {**SMALL, "lookback_sessions": 420}


@dataclass(frozen=True)
class Build:
    """A finished command: its exit code and everything it printed."""

    code: int
    output: str


def run(home: Home, *command: str, environment: Mapping[str, str] | None = None, cwd: Path = ROOT) -> Build:
    """Run a Python command, or `dbt`, as a user would, with its state in `home`."""
    finished = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), *command[1:]]
        if command[0] == "dbt"
        else [sys.executable, *command],
        cwd=cwd,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("QUANTMILL_")},
            "QUANTMILL_HOME": str(home.state),
            "DBT_TARGET_PATH": str(home.state / "target"),
            "DBT_LOG_PATH": str(home.state / "logs"),
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return Build(finished.returncode, finished.stdout + finished.stderr)


def ingest(home: Home, *arguments: str) -> Build:
    """Run `python -m ingest`."""
    return run(home, "-m", "ingest", *arguments)


def land_newest(home: Home, sessions: int = 800) -> None:
    """Land the newest sessions of the embedded prices as `python -m ingest sample` lands all of them."""
    from ingest.loads import open_session
    from ingest.sources.embedded import land_embedded, package_folder, read_manifest

    source = read_manifest(home.manifest / "sources" / "embedded.yml")
    home.state.mkdir()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in source.files:
            whole = gzip.decompress((package_folder(source) / file.file).read_bytes())
            header, *rows = whole.splitlines(keepends=True)
            (folder / file.file).write_bytes(gzip.compress(header + b"".join(rows[-sessions:]), mtime=0))
        with open_session(home, holder="a test", clock=lambda: datetime.now(UTC), say=print) as session:
            outcomes = land_embedded(session, source, folder, force=False, report=lambda name, outcome: None)
    assert [outcome.status for outcome in outcomes] == ["OK"] * 4


def dbt_build(
    home: Home,
    *arguments: str,
    profile: str = "sample",
    cwd: Path = ROOT,
    has_unit_tests: bool = False,
    **overrides: Any,
) -> Build:
    """Run plain `dbt build` in `cwd`; `overrides` are settings by dotted key, with `__` for the dot.

    The unit tests of dbt do not read the home, so one build of the whole suite runs them.
    """
    left_out = () if has_unit_tests else ("--exclude-resource-type", "unit_test")
    variables_given = ("--vars", variables(overrides, profile))
    return run(home, "dbt", "--no-use-colors", "build", *variables_given, *left_out, *arguments, cwd=cwd)


def variables(overrides: Mapping[str, Any], profile: str = "sample") -> str:
    """Return the variables of a dbt command; `overrides` are settings by dotted key, with `__` for the dot."""
    return json.dumps({"profile": profile, "set": {key.replace("__", "."): value for key, value in overrides.items()}})


def copy_of_project(folder: Path) -> Path:
    """Return a copy of what dbt reads of the project, so that something can be planted in it."""
    project = folder / "project"
    project.mkdir()
    for name in ("models", "macros", "manifest", "python", "analyses", "requirements.lock"):
        (project / name).symlink_to(ROOT / name)
    for name in ("dbt_project.yml", "profiles.yml", "selectors.yml"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    (project / "tests" / "dbt").mkdir(parents=True)
    for path in (ROOT / "tests" / "dbt").iterdir():
        (project / "tests" / "dbt" / path.name).symlink_to(path)
    return project


def copy_of_home(home: Home, folder: Path) -> Home:
    """Return a home of its own in `folder`, which is new, with all that `home` has."""
    shutil.copytree(home.state, folder, ignore=shutil.ignore_patterns("target", "logs", "*.lock"))
    return Home(root=home.root, state=folder)


def ask(home: Home, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Answer a query from the published snapshot, read-only."""
    with duckdb.connect(str(home.snapshot), read_only=True) as connection:
        return connection.execute(query, list(parameters)).fetchall()
