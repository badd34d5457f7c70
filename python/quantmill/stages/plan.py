"""The plan of a run: every configuration and every cell that its settings ask for, each with its id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantmill.ledger import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.manifest.settings import Settings

BASELINE_ENGINE = "market"
BASELINE_ROLES = {"market": "baseline", "benchmark": "anchor", "raw_pool_ew": "calibration"}


def dimension_id(dimensions: dict[str, Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of the canonical JSON of `dimensions`."""
    return hashlib.sha256(canonical_json(dimensions).encode()).hexdigest()[:16]


def plan_configs(settings: Settings) -> list[dict[str, Any]]:
    """Return one mapping per configuration: its dimensions, `config_id`, `is_baseline` and `baseline_role`.

    The baselines come first, then engines by risk profiles in the order of the settings.
    """
    matrix = settings.matrix
    kinds: list[tuple[str, str, str | None]] = [
        (BASELINE_ENGINE, profile, BASELINE_ROLES[profile]) for profile in matrix.baselines
    ]
    kinds += [(engine, profile, None) for engine in matrix.engines for profile in matrix.risk_profiles]
    configs = []
    for window_set in matrix.window_sets:
        for selection_engine in matrix.selection_engines:
            for rebalance_mode in matrix.rebalance_modes:
                for engine, risk_profile, role in kinds:
                    identity = {
                        "selection": selection_engine,
                        "window_set": window_set,
                        "rebalance": rebalance_mode,
                        "engine": engine,
                        "profile": risk_profile,
                        "variant": "shared",
                    }
                    configs.append(
                        {
                            "config_id": dimension_id(identity),
                            "selection_engine": selection_engine,
                            "window_set": window_set,
                            "rebalance_mode": rebalance_mode,
                            "engine": engine,
                            "risk_profile": risk_profile,
                            "variant": "shared",
                            "is_baseline": role is not None,
                            "baseline_role": role,
                        }
                    )
    return configs


def plan_cells(settings: Settings) -> list[dict[str, Any]]:
    """Return a mapping per cell: its config's dimensions, `cell_id`, simulator, costs, execution, mode."""
    cells = []
    for config in plan_configs(settings):
        for simulator in settings.matrix.simulators:
            for cost_model in settings.matrix.cost_models:
                identity = {
                    "selection": config["selection_engine"],
                    "window_set": config["window_set"],
                    "rebalance": config["rebalance_mode"],
                    "engine": config["engine"],
                    "profile": config["risk_profile"],
                    "variant": config["variant"],
                    "simulator": simulator,
                    "cost_model": cost_model,
                    "execution": "close",
                    "mode": "parity",
                }
                cells.append(
                    {
                        "cell_id": dimension_id(identity),
                        **config,
                        "simulator": simulator,
                        "cost_model": cost_model,
                        "execution": "close",
                        "mode": "parity",
                    }
                )
    return cells


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
