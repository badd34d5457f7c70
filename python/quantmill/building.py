"""Building a profile from the command line: nothing where nothing changed, else dbt with progress."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from quantmill.errors import HealthGateError, QuantmillError, WarehouseError
from quantmill.ledger import verify_lines
from quantmill.manifest.compose import resolve
from quantmill.manifest.home import Home, writer_lock
from quantmill.manifest.settings import Settings
from quantmill.snapshot import read_snapshot
from quantmill.stages.context import code_hash, ledger_path
from quantmill.stages.gating import find_judgement
from quantmill.stages.opening import sha256

# How the refusal of the quality gate begins in dbt's message.
REFUSED = f"{HealthGateError.__module__}.{HealthGateError.__name__}: "


class BuildFailed(QuantmillError):
    """A build that ended with errors; the messages were printed as they came."""

    exit_code = 1


@dataclass(frozen=True)
class Sealed:
    """A run of the published snapshot that the asked-for build would only repeat."""

    run_id: str
    record_count: int


def find_sealed(home: Home, settings: Settings) -> Sealed | None:
    """Return a published, sealed run of these settings and this code that was verified on the newest landed data.

    None where there is none, or where the rules of the quality gate have changed since: then it has to be built. So it
    is, with a word about it, where the published snapshot does not open or is of another version, and where a ledger
    file is missing, fails its verification or ends elsewhere than the snapshot says. Raises `WarehouseError` where the
    workbench does not open.
    """
    if not (home.snapshot.is_file() and home.workbench.is_file()):
        return None
    import duckdb

    with writer_lock(home, holder="quantmill build"):
        try:
            with duckdb.connect(str(home.workbench), read_only=True) as workbench:
                newest = workbench.execute(
                    "select arg_max(snapshot_id, (created_at_utc, snapshot_id)) from ops.snapshots"
                ).fetchall()[0][0]
        except duckdb.Error as error:
            raise WarehouseError(
                f"the workbench {home.workbench} does not open: {str(error).splitlines()[0]}",
                remedy="end whatever holds it; if the file is damaged, 'make rebuild' makes it again",
            ) from None
    try:
        with read_snapshot(home) as connection:
            # a rule that is new or changed has to be judged, whatever else stayed the same
            if not find_judgement(connection, home, settings).is_known:
                return None
            found = connection.execute(
                """
                select run_id, chain_head from selection.runs
                where status = 'sealed' and settings_hash = ? and code_hash = ? and verified_snapshot_id = ?
                order by opened_at_utc desc
                """,
                [sha256(settings.model_dump(mode="json")), code_hash(home.root), newest],
            ).fetchall()
    except (WarehouseError, duckdb.Error) as error:
        print(f"the published snapshot cannot be used ({str(error).splitlines()[0]}); building a new one")
        return None
    for run_id, chain_head in found:
        path = ledger_path(home, run_id)
        if path.is_file():
            lines = path.read_bytes().splitlines(keepends=True)
            if not verify_lines(lines, chain_head=chain_head).code:
                return Sealed(run_id=run_id, record_count=len(lines))
    return None


def build(home: Home, profile: str, *, overrides: Mapping[str, Any], label: str) -> str | None:
    """Build `profile` with dbt unless its run is already sealed and published.

    Returns the id of the sealed run when there was nothing to do, else None after a build without errors.
    Raises the manifest's errors before dbt starts, and `BuildFailed` after a build with errors.
    """
    settings = resolve(home.manifest, profile, overrides=overrides, environment=os.environ).settings
    sealed = find_sealed(home, settings)
    if sealed is not None:
        print(
            f"UP_TO_DATE: run {sealed.run_id} is sealed and published, the chain of its {sealed.record_count} ledger"
            " records verifies, and neither data, settings nor code have changed; nothing to build"
        )
        if label:
            print(f"the label '{label}' was not given: a sealed run keeps the one it has")
        return sealed.run_id
    variables = {"profile": profile, "set": dict(overrides), "label": label}
    print(f"build: profile {profile}", flush=True)
    # unit tests judge the code and not the data: plain `dbt build` and `make test` run them
    _run_dbt(home, ["build", "--exclude-resource-type", "unit_test", "--vars", json.dumps(variables)])
    return None


def _run_dbt(home: Home, arguments: list[str]) -> None:
    """Run dbt in this process, printing one line per finished model and every failure."""
    started = time.monotonic()
    from dbt.cli.main import dbtRunner

    progress = _Progress()
    os.chdir(home.root)
    result = dbtRunner(callbacks=[progress]).invoke(
        [
            "--no-use-colors",
            "--log-level",
            "none",
            *arguments,
            "--project-dir",
            str(home.root),
            "--profiles-dir",
            str(home.root),
        ]
    )
    if isinstance(result.exception, KeyboardInterrupt):
        raise KeyboardInterrupt
    if not result.success:
        if result.exception is not None and not progress.has_spoken:
            print(f"{type(result.exception).__name__}: {result.exception}", file=sys.stderr)
        if progress.is_refused:
            raise HealthGateError(
                f"the quality gate stopped the build after {time.monotonic() - started:.1f} s, before anything was"
                " selected; the published snapshot is unchanged",
                remedy="mend what the table above names and build again; every failing row is in the workbench's"
                " features.quality_failures",
            )
        raise BuildFailed(
            f"the build ended with errors after {time.monotonic() - started:.1f} s; the published snapshot is"
            " unchanged",
            remedy="mend what is named above and build again; finished steps are kept",
        )
    print(f"build: {progress.models} models, {progress.tests} tests passed, {time.monotonic() - started:.1f} s")


class _Progress:
    """Turns dbt's events into lines: the model that was finished, its place in the build, its seconds."""

    def __init__(self) -> None:
        self.models = 0
        self.tests = 0
        self.has_spoken = False
        self.is_refused = False

    def __call__(self, event: Any) -> None:
        name = event.info.name
        if name == "LogModelResult":
            self.models += 1
            data = event.data
            state = "" if data.status.upper().startswith(("OK", "SUCCESS")) else f"  {data.status}"
            relation = data.description.split(" ")[-1]
            self._say(f"  {data.index:>3}/{data.total}  {relation:<45} {data.execution_time:6.2f} s{state}")
        elif name in ("LogTestResult", "LogUnitTestResult"):
            self.tests += 1
        elif name == "JinjaLogInfo":
            self._say(f"  {event.data.msg}")
        # dbt's own stack is of no use to whoever interrupted it or mistyped a key
        if (
            event.info.level == "error"
            and event.info.msg.strip()
            and name not in ("MainStackTrace", "MainEncounteredError")
        ):
            self.has_spoken = True
            message = event.info.msg
            if REFUSED in message:
                # the offenders are what the reader needs, and not the way that Python took to them
                self.is_refused = True
                message = message.partition(REFUSED)[2].strip()
            self._say(message, sys.stderr)

    @staticmethod
    def _say(line: str, stream: TextIO | None = None) -> None:
        """Write a line in one piece: dbt calls from several threads.

        Whoever read the output may have gone (`| head`). The build goes on without words: an error in the middle of
        dbt's threads would leave it waiting for ever, with the lock held.
        """
        stream = stream or sys.stdout
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
