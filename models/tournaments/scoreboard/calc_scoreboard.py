# One row per cell: the verdict on it, with the gates it was judged at as a list.
def model(dbt, session):
    from quantmill.stages.scoring import score_run

    return score_run(
        current_run=dbt.ref("current_run"),
        settings=dbt.ref("calc_settings"),
        windows=dbt.ref("windows"),
        configs=dbt.ref("configs"),
        cells=dbt.ref("cells"),
        metrics=dbt.ref("cell_metrics"),
        days=dbt.ref("portfolio_returns"),
    )
