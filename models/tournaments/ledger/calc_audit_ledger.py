# One row per ledger record of the current run, after SEAL; a sealed run is verified against its tables.
def model(dbt, session):
    from quantmill.stages.sealing import seal_run

    return seal_run(
        current_run=dbt.ref("current_run"),
        settings=dbt.ref("calc_settings"),
        tables={
            "selection.run_settings": dbt.ref("run_settings"),
            "selection.windows": dbt.ref("windows"),
            "selection.candidates": dbt.ref("candidates"),
            "selection.decisions": dbt.ref("decisions"),
            "selection.winners": dbt.ref("winners"),
            "selection.funnel": dbt.ref("funnel"),
            "tournaments.atom_returns": dbt.ref("atom_returns"),
            "tournaments.configs": dbt.ref("configs"),
            "tournaments.cells": dbt.ref("cells"),
            "tournaments.window_allocations": dbt.ref("window_allocations"),
            "tournaments.solver_attempts": dbt.ref("solver_attempts"),
            "tournaments.atom_weights": dbt.ref("atom_weights"),
            "tournaments.target_weights": dbt.ref("target_weights"),
            "tournaments.constraint_rows": dbt.ref("constraint_rows"),
            "tournaments.allocation_events": dbt.ref("allocation_events"),
            "tournaments.trades": dbt.ref("trades"),
            "tournaments.portfolio_returns": dbt.ref("portfolio_returns"),
            "tournaments.simulation_events": dbt.ref("simulation_events"),
            "tournaments.window_metrics": dbt.ref("window_metrics"),
            "tournaments.cell_metrics": dbt.ref("cell_metrics"),
            "tournaments.veto_matrix": dbt.ref("veto_matrix"),
            "tournaments.veto_summary": dbt.ref("veto_summary"),
            "tournaments.scoreboard": dbt.ref("scoreboard"),
            "tournaments.attribution": dbt.ref("attribution"),
        },
    )
