# One row per symbol and session that technical_ratings lacks: its votes, ratings and indicators.
def model(dbt, session):
    from quantmill.stages.features import ratings

    # read by name and in blocks, when they are there
    dbt.ref("session_bars")
    return ratings(session)
