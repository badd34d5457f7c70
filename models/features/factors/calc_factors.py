# One row per symbol and session with a return that factor_history lacks: its factors.
def model(dbt, session):
    from quantmill.stages.features import factors

    # read by name and in blocks, when they are there
    dbt.ref("session_bars")
    dbt.ref("daily_returns")
    return factors(session)
