# One row per suspect move of a session that bar_spikes lacks.
def model(dbt, session):
    from quantmill.stages.features import suspect_moves

    return suspect_moves(session, read=[dbt.ref("session_bars"), dbt.ref("daily_returns")])
