"""The scoring stage: every cell at every gate, the verdict on it and its rank, recorded in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantmill.ledger import Entry
from quantmill.ledger_file import LedgerFile, Outcome
from quantmill.stages.context import RunContext, fetch, read_context
from quantmill.stages.nesting import flatten_groups, nested
from quantmill.stages.plan import cell_context

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.judgement import Entrant, MetricRow, ScoreRow

STEP = "backtest_score"


def score_run(
    *, current_run: Any, settings: Any, windows: Any, configs: Any, cells: Any, metrics: Any, days: Any
) -> pa.Table:
    """Return one row per cell: its verdict, and a list of the gates it was judged at.

    The arguments are DuckDB relations of the models of the same names, `metrics` of cell_metrics, `days` of
    portfolio_returns. No rows for a sealed run.
    """
    context = read_context(current_run, settings)
    if context.is_sealed:
        return _table(context.run_id, [])
    from quantmill.judgement import score

    own = context.settings
    ledger = context.ledger()
    planned = fetch(cells, context.run_id, "cell_id").to_pylist()
    intent = ledger.intents(STEP, [{"tier": own.tier, "cell_count": len(planned)}])[0]
    rows = score(
        _entrants(context, planned, configs, metrics),
        gates=own.gates,
        tier=own.tier,
        test_sessions={name: lengths.test for name, lengths in own.windows.items()},
        bankrupt_below=own.simulation.bankrupt_below,
        required_simulators=own.required_simulators,
        cost_models=own.matrix.cost_models,
        engines=own.matrix.engines,
        net_returns=_read_returns(context, days),
        universe_basis=own.universe.basis,
        in_sample_window_sets=_in_sample(context, windows),
    )
    _record(ledger, planned, rows, intent)
    return _table(context.run_id, rows)


def _in_sample(context: RunContext, windows: Any) -> set[str]:
    """Return the window sets with a decision whose regime was weighed by weights tuned on its own future."""
    rows = fetch(windows, context.run_id, "window_set, window_index")
    flags = zip(rows["window_set"].to_pylist(), rows["is_regime_in_sample"].to_pylist(), strict=True)
    return {name for name, is_in_sample in flags if is_in_sample}


def _entrants(context: RunContext, planned: list[dict[str, Any]], configs: Any, metrics: Any) -> list[Entrant]:
    from quantmill.judgement import Entrant, MetricRow

    known = fetch(configs, context.run_id, "config_id")
    statuses = dict(zip(known["config_id"].to_pylist(), known["status"].to_pylist(), strict=True))
    found: dict[str, dict[str, MetricRow]] = {}
    names = ("cell_id", "metric", "value", "observation_count", "status", "reason")
    rows = fetch(metrics, context.run_id, "cell_id, metric")
    for cell_id, *row in zip(*(rows[name].to_pylist() for name in names), strict=True):
        found.setdefault(cell_id, {})[row[0]] = MetricRow(*row)
    return [
        Entrant(
            cell_id=cell["cell_id"],
            config_id=cell["config_id"],
            window_set=cell["window_set"],
            engine=cell["engine"],
            risk_profile=cell["risk_profile"],
            simulator=cell["simulator"],
            cost_model=cell["cost_model"],
            execution=cell["execution"],
            mode=cell["mode"],
            is_baseline=cell["is_baseline"],
            status=cell["status"],
            config_status=statuses[cell["config_id"]],
            metrics=found.get(cell["cell_id"], {}),
        )
        for cell in planned
    ]


def _read_returns(context: RunContext, days: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return the net returns of each cell on the sessions of the run, NaN where it has none."""
    rows = fetch(days, context.run_id, "cell_id, session_date")
    cells = rows["cell_id"].combine_chunks().dictionary_encode()
    sessions, column = np.unique(rows["session_date"].to_numpy(), return_inverse=True)
    found = np.full((len(cells.dictionary), len(sessions)), np.nan)
    found[cells.indices.to_numpy(), column] = rows["net_return"].to_numpy()
    return dict(zip(cells.dictionary.to_pylist(), found, strict=True))


def _record(ledger: LedgerFile, planned: list[dict[str, Any]], rows: list[ScoreRow], intent: dict[str, Any]) -> None:
    """Write a GATE for each cell that has costs, and the outcome with what was counted."""
    costed = [
        (cell, row) for cell, row in zip(planned, rows, strict=True) if row.not_candidate_reason != "zero_cost_twin"
    ]
    ledger.append(
        [
            Entry(
                "GATE",
                STEP,
                "fail" if row.veto_reasons else "pass",
                context=cell_context(cell),
                data={
                    "veto_reasons": list(row.veto_reasons),
                    "missing_inputs": list(row.missing_inputs),
                    "warnings": list(row.warnings),
                },
            )
            for cell, row in costed
        ]
    )
    outcome = {
        "candidate_count": sum(row.is_strict_candidate for row in rows),
        "vetoed_count": sum(bool(row.veto_reasons) for _, row in costed),
        "warning_count": sum(len(row.warnings) for row in rows),
    }
    ledger.outcomes(STEP, [Outcome(context=intent, status="success" if rows else "empty", outcome=outcome)])


def _codes(codes: tuple[str, ...]) -> str | None:
    """Return codes as one text in their order, None where there are none."""
    return ", ".join(codes) or None


def _table(run_id: str, rows: list[ScoreRow]) -> pa.Table:
    import pyarrow as pa

    text, number, flag = pa.string(), pa.float64(), pa.bool_()
    gate_types = {
        "position": pa.int32(), "gate": text, "value": number, "limit": number, "margin": number,
        "is_passed": flag, "status": text, "is_informational": flag, "is_veto": flag, "veto_code": text,
        "reason": text,
    }  # fmt: skip
    gates = [[(place, *gate) for place, gate in enumerate(row.gates, start=1)] for row in rows]
    return pa.table(
        {
            "run_id": pa.array([run_id] * len(rows), text),
            "cell_id": pa.array([row.cell_id for row in rows], text),
            "veto_reasons": pa.array([_codes(row.veto_reasons) for row in rows], text),
            "missing_inputs": pa.array([_codes(row.missing_inputs) for row in rows], text),
            "is_strict_candidate": pa.array([row.is_strict_candidate for row in rows], flag),
            "not_candidate_reason": pa.array([row.not_candidate_reason for row in rows], text),
            "is_promotable": pa.array([row.is_promotable for row in rows], flag),
            "promotion_blockers": pa.array([_codes(row.promotion_blockers) for row in rows], text),
            "rank": pa.array([row.rank for row in rows], pa.int32()),
            "unranked_reason": pa.array([row.unranked_reason for row in rows], text),
            "duplicate_of": pa.array([row.duplicate_of for row in rows], text),
            "warnings": pa.array([_codes(row.warnings) for row in rows], text),
            "gates": nested(*flatten_groups(gates, list(gate_types)), gate_types),
        }
    )
