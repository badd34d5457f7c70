# One row per cell: its metrics per window and over the whole span as lists.
def model(dbt, session):
    from quantmill.stages.judging import judge_run

    return judge_run(
        current_run=dbt.ref("current_run"),
        settings=dbt.ref("calc_settings"),
        cells=dbt.ref("cells"),
        windows=dbt.ref("windows"),
        days=dbt.ref("portfolio_returns"),
        events=dbt.ref("simulation_events"),
        weights=dbt.ref("atom_weights"),
        targets=dbt.ref("target_weights"),
        allocations=dbt.ref("window_allocations"),
        symbols=dbt.ref("symbols"),
    )
