# One row per planned cell of the current run.
def model(dbt, session):
    from quantmill.stages.plan import plan_table

    return plan_table(dbt.ref("current_run"), dbt.ref("calc_settings"))
