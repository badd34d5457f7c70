"""The first stage: settings become rows, the run gets its id, its ledger is opened."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from quantmill import __version__
from quantmill.errors import LedgerError, UsageError
from quantmill.ledger import canonical_json, verify_lines
from quantmill.ledger_file import LedgerFile
from quantmill.manifest.compose import resolve, settings_from_rows
from quantmill.manifest.home import current_home
from quantmill.manifest.settings import Settings
from quantmill.stages.context import code_hash, ledger_path, now

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

# Libraries whose version can change a number.
DECIDING_LIBRARIES = (
    "duckdb",
    "numpy",
    "scipy",
    "daqp",
    "clarabel",
    "scs",
    "numba",
    "quantstats",
    "exchange-calendars",
)


# Layers that are not part of the profile as it is written.
OVERRIDES = ("command_line", "environment")


def resolved_settings(profile: str, overrides: str) -> pa.Table:
    """Return one row per resolved setting of `profile`: key, value (JSON text), source_layer.

    `overrides` is the dbt variable `set` as JSON: settings by dotted key.
    """
    import pyarrow as pa

    resolved = resolve(
        current_home().manifest, profile, overrides=json.loads(overrides or "{}"), environment=os.environ
    )
    return pa.table(
        {
            "key": [row.key for row in resolved.rows],
            "value": [row.value for row in resolved.rows],
            "source_layer": [row.source_layer for row in resolved.rows],
        }
    )


def sha256(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def run_identity(settings: Settings, snapshot_hash: str, code: str) -> str:
    """Return `<profile>-<YYYYMMDD>-<8 hex>`: the same settings, data and code give the same id."""
    digest = sha256({"settings": settings.model_dump(mode="json"), "snapshot": snapshot_hash, "code": code})
    return f"{settings.profile}-{settings.as_of.astimezone(UTC):%Y%m%d}-{digest[:8]}"


def open_run(
    settings_rows: pa.Table,
    digests: pa.Table,
    snapshots: pa.Table,
    gate: pa.Table,
    *,
    label: str,
    sealed: Mapping[str, str],
) -> pa.Table:
    """Return the one row of the run that this build is for, and open its ledger.

    `gate` is the row with which the quality gate let the run begin. A new run gets a GENESIS record, an interrupted one
    a RESUME record. The ledger of a run that is among `sealed` (chain head by run id) is verified and left alone;
    `LedgerError` is raised if it does not verify. Raises `UsageError` for symbols of another calendar than the run's:
    their returns would not be those of its sessions.
    """
    import pyarrow as pa

    home = current_home()
    values = dict(zip(settings_rows["key"].to_pylist(), settings_rows["value"].to_pylist(), strict=True))
    settings = settings_from_rows(values)
    _require_one_calendar(settings, digests)
    snapshot_hash = sha256(digests.to_pylist())
    code = code_hash(home.root)
    run_id = run_identity(settings, snapshot_hash, code)
    settings_hash = sha256(settings.model_dump(mode="json"))
    path = ledger_path(home, run_id)
    if run_id in sealed:
        _require_sealed_ledger(path, sealed[run_id])
    else:
        hashes = {"settings_hash": settings_hash, "snapshot_hash": snapshot_hash, "code_hash": code}
        newest = snapshots["snapshot_id"].to_pylist() or [None]
        judgement = gate["judgement_id"].to_pylist()[0]
        data = {"snapshot_id": newest[0], "judgement_id": judgement, "symbols": digests.to_pylist()}
        _start_ledger(path, run_id, settings, hashes, data, home.root)
    return pa.table(
        {
            "run_id": [run_id],
            "profile": [settings.profile],
            "label": [label or None],
            "as_of_date": [settings.as_of.astimezone(UTC).date()],
            "as_of_utc": [settings.as_of.astimezone(UTC).replace(tzinfo=None)],
            "snapshot_id": snapshots["snapshot_id"].to_pylist() or [None],
            "judgement_id": gate["judgement_id"].to_pylist(),
            "snapshot_hash": [snapshot_hash],
            "settings_hash": [settings_hash],
            "code_version": [__version__],
            "code_hash": [code],
            "is_overridden": [any(layer in OVERRIDES for layer in settings_rows["source_layer"].to_pylist())],
            "universe_basis": [settings.universe.basis],
            "settings": [canonical_json(settings.model_dump(mode="json"))],
            "opened_at_utc": [now().replace(tzinfo=None)],
            "is_sealed": [run_id in sealed],
        },
        schema=pa.schema(
            [
                ("run_id", pa.string()),
                ("profile", pa.string()),
                ("label", pa.string()),
                ("as_of_date", pa.date32()),
                ("as_of_utc", pa.timestamp("us")),
                ("snapshot_id", pa.string()),
                ("judgement_id", pa.string()),
                ("snapshot_hash", pa.string()),
                ("settings_hash", pa.string()),
                ("code_version", pa.string()),
                ("code_hash", pa.string()),
                ("is_overridden", pa.bool_()),
                ("universe_basis", pa.string()),
                ("settings", pa.string()),
                ("opened_at_utc", pa.timestamp("us")),
                ("is_sealed", pa.bool_()),
            ]
        ),
    )


def _require_one_calendar(settings: Settings, digests: pa.Table) -> None:
    others = [
        f"{row['symbol']} ({row['calendar_id']})"
        for row in digests.to_pylist()
        if row["calendar_id"] not in (None, settings.calendar_id)
    ]
    if others:
        raise UsageError(
            f"the run keeps the sessions of calendar {settings.calendar_id}, but {', '.join(others)} trade on another",
            remedy="leave them out of the universe, or set calendar_id and periods_per_year to theirs",
            symbols=others,
        )


def _require_sealed_ledger(path: Path, chain_head: str) -> None:
    if not path.is_file():
        raise LedgerError(
            f"the run is sealed in the workbench, but its ledger {path} is missing",
            remedy="restore the file; 'python -m quantmill ledger-export RUN' writes it again from the warehouse",
        )
    verification = verify_lines(path.read_bytes().splitlines(keepends=True), chain_head=chain_head)
    if verification.code:
        raise LedgerError(
            f"the ledger of a sealed run does not verify: {verification.reason}",
            remedy=f"compare {path} with tournaments.audit_ledger; 'make ledger-verify' shows the first bad record",
            code=verification.code,
        )


def _start_ledger(
    path: Path, run_id: str, settings: Settings, hashes: Mapping[str, str], data: Mapping[str, Any], root: Path
) -> None:
    """Write GENESIS, or RESUME, and announce the selection that SQL is about to do."""
    ledger = LedgerFile.start(
        path,
        run_id,
        now,
        {
            "profile": settings.profile,
            "settings": settings.model_dump(mode="json"),
            "universe_basis": settings.universe.basis,
            **hashes,
            **data,
            "lock_hash": hashlib.sha256((root / "requirements.lock").read_bytes()).hexdigest(),
            "code_version": __version__,
            "python_version": platform.python_version(),
            "platform": platform.platform(),
            "library_versions": {name: _version(name) for name in DECIDING_LIBRARIES},
            "seed": settings.seed,
            "parent_run_id": None,
        },
    )
    ledger.intents(
        "backtest_select",
        [
            {"selection": engine, "window_set": window_set}
            for window_set in settings.matrix.window_sets
            for engine in settings.matrix.selection_engines
        ],
        input_hashes={name: hashes[name] for name in ("snapshot_hash", "settings_hash")},
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
