"""The last stage: hash every table of the run, write SEAL, and hand the ledger to the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantmill.errors import LedgerError
from quantmill.ledger import Record, frame_hash, read_record, record_to_row, verify_lines, verify_tables
from quantmill.stages.context import RunContext, fetch, read_context

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW = ("window_set", "window_index")

# The tables of a run that its SEAL covers, each with the columns that tell its rows apart within the run.
TABLE_KEYS: dict[str, tuple[str, ...]] = {
    "selection.run_settings": ("key",),
    "selection.windows": WINDOW,
    "selection.candidates": (*WINDOW, "scanner_id", "atom_id"),
    "selection.factor_probabilities": (*WINDOW, "atom_id", "factor", "method"),
    "selection.score_contributions": (*WINDOW, "selection_engine", "atom_id", "factor"),
    "selection.alpha_scores": (*WINDOW, "selection_engine", "atom_id"),
    "selection.clusters": (*WINDOW, "clustering_id", "symbol"),
    "selection.cluster_statistics": (*WINDOW, "selection_engine", "cluster_id"),
    "selection.vetoes": (*WINDOW, "selection_engine", "atom_id", "code"),
    "selection.selection_warnings": (*WINDOW, "selection_engine", "code", "subject"),
    "selection.decisions": (*WINDOW, "selection_engine", "atom_id"),
    "selection.winners": (*WINDOW, "selection_engine", "atom_id"),
    "selection.funnel": (*WINDOW, "selection_engine"),
    "tournaments.atom_returns": ("atom_id", "session_date"),
    "tournaments.configs": ("config_id",),
    "tournaments.cells": ("cell_id",),
    "tournaments.window_allocations": (*WINDOW, "config_id"),
    "tournaments.solver_attempts": (*WINDOW, "config_id", "attempt"),
    "tournaments.atom_weights": (*WINDOW, "config_id", "atom_id"),
    "tournaments.target_weights": (*WINDOW, "config_id", "symbol"),
    "tournaments.weight_trace": (*WINDOW, "config_id", "path"),
    "tournaments.constraint_rows": (*WINDOW, "config_id", "constraint_name"),
    "tournaments.allocation_events": (*WINDOW, "config_id", "position"),
    "tournaments.trades": ("cell_id", "session_date", "symbol", "reason"),
    "tournaments.portfolio_returns": ("cell_id", "session_date"),
    "tournaments.simulation_events": ("cell_id", "position"),
    "tournaments.window_metrics": ("cell_id", "window_index", "metric"),
    "tournaments.cell_metrics": ("cell_id", "metric"),
    "tournaments.veto_matrix": ("cell_id", "gate"),
    "tournaments.veto_summary": ("veto_code",),
    "tournaments.scoreboard": ("cell_id",),
    "tournaments.attribution": ("cell_id", "window_index"),
}


def table_digest(name: str, relation: Any, run_id: str) -> tuple[int, str]:
    """Return row count and frame hash of the run's rows in the DuckDB relation of the table `name`."""
    types = {column: str(kind) for column, kind in zip(relation.columns, relation.types, strict=True)}
    rows = fetch(relation, run_id)
    return rows.num_rows, frame_hash(rows, types, TABLE_KEYS[name])


def seal_run(*, current_run: Any, settings: Any, tables: Mapping[str, Any]) -> pa.Table:
    """Return the ledger of the current run as rows of `tournaments.audit_ledger`, its SEAL last.

    For a run that is sealed already no row is returned: its tables are compared with the SEAL in its ledger
    file, and `LedgerError` names the first that differs.
    """
    context = read_context(current_run, settings)
    digests = {name: table_digest(name, relation, context.run_id) for name, relation in tables.items()}
    if context.is_sealed:
        _require_sealed_tables(context, digests)
        return ledger_table([])
    ledger = context.ledger()
    ledger.seal(digests)
    context.cells.forget()
    return ledger_table([read_record(line) for line in ledger.lines()])


def _require_sealed_tables(context: RunContext, digests: Mapping[str, tuple[int, str]]) -> None:
    lines = context.ledger_path.read_bytes().splitlines(keepends=True)
    verification = verify_lines(lines)
    if not verification.code and verification.seal is not None:
        verification = verify_tables(verification.seal, digests)
    if verification.code:
        raise LedgerError(
            f"run {context.run_id} is sealed, but {verification.reason}",
            remedy="its rows were changed after the seal; 'make rebuild' restores them from the published snapshot",
            code=verification.code,
        )


def ledger_table(records: list[Record]) -> pa.Table:
    """Return ledger records as an Arrow table with the columns of `tournaments.audit_ledger`."""
    import pyarrow as pa

    texts = ("context", "params", "input_hashes", "output_hashes", "outcome", "data", "previous_hash", "hash")
    schema = pa.schema(
        [
            ("run_id", pa.string()),
            ("sequence", pa.int32()),
            ("schema_version", pa.int32()),
            ("action", pa.string()),
            ("step", pa.string()),
            ("status", pa.string()),
            ("recorded_at_utc", pa.timestamp("us")),
            *((name, pa.string()) for name in texts),
        ]
    )
    return pa.Table.from_pylist([record_to_row(record) for record in records], schema=schema)
