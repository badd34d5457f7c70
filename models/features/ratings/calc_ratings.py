# One row per symbol and session that technical_ratings lacks: its votes, ratings and indicators.
def model(dbt, session):
    from quantmill.stages.features import ratings

    return ratings(session, read=[dbt.ref("session_bars")])
