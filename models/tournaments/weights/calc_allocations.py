# One row per configuration and window: weights, attempts, constraints and events as lists.
def model(dbt, session):
    from quantmill.stages.allocating import allocate_run

    return allocate_run(
        current_run=dbt.ref("current_run"),
        settings=dbt.ref("calc_settings"),
        windows=dbt.ref("windows"),
        grid=dbt.ref("session_grid"),
        candidates=dbt.ref("candidates"),
        decisions=dbt.ref("decisions"),
        streams=dbt.ref("atom_returns"),
        returns=dbt.ref("aligned_returns"),
    )
