# One row per asset class and session whose proxy has enough members: the regime of the market.
def model(dbt, session):
    from quantmill.stages.features import regime_table

    proxies = dbt.ref("market_proxies").order("asset_class, session_date").to_arrow_table()
    weights = dbt.ref("seed_regime_weights").order("asset_class").to_arrow_table()
    return regime_table(proxies, weights)
