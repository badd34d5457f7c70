# One row: the judgement on which the quality gate lets the run begin; otherwise this model fails with the offenders.
def model(dbt, session):
    from quantmill.stages.gating import pass_gate

    return pass_gate(
        session,
        settings=dbt.ref("calc_settings").order("key").to_arrow_table(),
        results=dbt.ref("quality_results"),
        failures=dbt.ref("quality_failures"),
    )
