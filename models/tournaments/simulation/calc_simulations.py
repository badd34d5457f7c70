# One row per cell: its daily rows, trades and events as lists.
def model(dbt, session):
    from quantmill.stages.simulating import simulate_run

    return simulate_run(
        current_run=dbt.ref("current_run"),
        settings=dbt.ref("calc_settings"),
        plan=dbt.ref("calc_plan"),
        windows=dbt.ref("windows"),
        grid=dbt.ref("session_grid"),
        targets=dbt.ref("target_weights"),
        returns=dbt.ref("aligned_returns"),
    )
