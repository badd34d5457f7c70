# One row per asset class and session whose proxy has enough members: the regime of the market.
def model(dbt, session):
    from quantmill.stages.features import regime_table

    members = dbt.ref("regime_members").order("asset_class, session_date, symbol").to_arrow_table()
    weights = dbt.ref("seed_regime_weights").order("asset_class").to_arrow_table()
    return regime_table(members, weights)
