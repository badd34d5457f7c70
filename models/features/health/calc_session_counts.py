# One row per symbol and expected session that symbol_health lacks: what its verdict rests on.
def model(dbt, session):
    from quantmill.stages.features import session_counts

    return session_counts(session, read=[dbt.ref("expected_sessions"), dbt.ref("bar_spikes")])
