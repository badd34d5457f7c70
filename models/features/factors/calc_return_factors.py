# One row per symbol and session with a return: the factors that read returns.
def model(dbt, session):
    from quantmill.stages.features import return_factor_table

    returns = dbt.ref("daily_returns").order("symbol, session_date").to_arrow_table()
    return return_factor_table(returns)
