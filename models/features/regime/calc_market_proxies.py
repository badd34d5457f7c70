# One row per asset class and session that market_proxies lacks: the return of its market.
def model(dbt, session):
    from quantmill.stages.features import market_proxies

    return market_proxies(session, read=[dbt.ref("daily_returns"), dbt.ref("regime_members")])
