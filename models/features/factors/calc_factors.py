# One row per symbol and session with a return that factor_history lacks: its factors.
def model(dbt, session):
    from quantmill.stages.features import factors

    return factors(session, read=[dbt.ref("session_bars"), dbt.ref("daily_returns")])
