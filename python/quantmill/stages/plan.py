"""The plan of a run: every configuration and every cell that its settings ask for, each with its id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quantmill.ledger import canonical_json
from quantmill.manifest.settings import BASELINE_ENGINE

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.manifest.settings import Exclusion, Settings

BASELINE_ROLES = {"market": "baseline", "benchmark": "anchor", "raw_pool_ew": "calibration"}


def dimension_id(dimensions: dict[str, Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of the canonical JSON of `dimensions`."""
    return hashlib.sha256(canonical_json(dimensions).encode()).hexdigest()[:16]


def plan_configs(settings: Settings) -> list[dict[str, Any]]:
    """Return one mapping per configuration: its dimensions, `config_id`, `is_baseline` and `baseline_role`.

    The baselines come first, then engines by risk profiles in the order of the settings. A configuration all of
    whose cells are excluded is not among them.
    """
    configs: dict[str, dict[str, Any]] = {}
    for combination in _planned(settings):
        config = _config(combination)
        configs.setdefault(config["config_id"], config)
    return list(configs.values())


def plan_cells(settings: Settings) -> list[dict[str, Any]]:
    """Return a mapping per cell: its config's dimensions, `cell_id`, simulator, costs, execution, mode."""
    return [_cell(combination) for combination in _planned(settings)]


def excluded_cells(settings: Settings) -> list[tuple[dict[str, Any], Exclusion]]:
    """Return the cells that `matrix.exclude` leaves out, as `plan_cells` has them, each with what excluded it."""
    return [
        (_cell(combination), exclusion)
        for combination in settings.matrix.combinations()
        if (exclusion := settings.matrix.exclusion_of(combination))
    ]


def _planned(settings: Settings) -> Iterator[dict[str, str]]:
    matrix = settings.matrix
    return (combination for combination in matrix.combinations() if not matrix.exclusion_of(combination))


def _config(combination: Mapping[str, str]) -> dict[str, Any]:
    names = ("selection_engine", "window_set", "rebalance_mode", "engine", "risk_profile")
    is_baseline = combination["engine"] == BASELINE_ENGINE
    return {
        "config_id": dimension_id(_identity(combination)),
        **{name: combination[name] for name in names},
        "variant": "shared",
        "is_baseline": is_baseline,
        "baseline_role": BASELINE_ROLES[combination["risk_profile"]] if is_baseline else None,
    }


def _cell(combination: Mapping[str, str]) -> dict[str, Any]:
    own = {
        "simulator": combination["simulator"],
        "cost_model": combination["cost_model"],
        "execution": "close",
        "mode": "parity",
    }
    return {"cell_id": dimension_id(_identity(combination) | own), **_config(combination), **own}


def _identity(combination: Mapping[str, str]) -> dict[str, str]:
    """Return the dimensions of a configuration under the names that its id is a digest of."""
    return {
        "selection": combination["selection_engine"],
        "window_set": combination["window_set"],
        "rebalance": combination["rebalance_mode"],
        "engine": combination["engine"],
        "profile": combination["risk_profile"],
        "variant": "shared",
    }


def cell_context(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context under which the ledger records work on a cell."""
    return {
        "selection": cell["selection_engine"],
        "window_set": cell["window_set"],
        "rebalance": cell["rebalance_mode"],
        "engine": cell["engine"],
        "profile": cell["risk_profile"],
        "simulator": cell["simulator"],
        "cost_model": cell["cost_model"],
        "cell_id": cell["cell_id"],
    }


def plan_table(current_run: Any, settings_rows: Any) -> pa.Table:
    """Return the planned cells of the current run as a table, with its run id; no rows when it is sealed."""
    import pyarrow as pa

    from quantmill.stages.context import read_context

    context = read_context(current_run, settings_rows)
    text = [
        "run_id", "cell_id", "config_id", "selection_engine", "window_set", "rebalance_mode", "engine",
        "risk_profile", "variant", "baseline_role", "simulator", "cost_model", "execution", "mode",
    ]  # fmt: skip
    schema = pa.schema([*((name, pa.string()) for name in text), ("is_baseline", pa.bool_())])
    rows = [] if context.is_sealed else [{"run_id": context.run_id, **cell} for cell in plan_cells(context.settings)]
    return pa.Table.from_pylist(rows, schema=schema)
