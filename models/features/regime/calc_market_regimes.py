# One row per asset class and session whose proxy has enough members: the regime of the market.
def model(dbt, session):
    from quantmill.stages.features import regime_table

    proxies = dbt.ref("market_proxies").order("asset_class, session_date").to_arrow_table()
    return regime_table(proxies)
