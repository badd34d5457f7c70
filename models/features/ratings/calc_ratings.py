# One row per symbol and session with a bar: its votes, ratings and indicators.
def model(dbt, session):
    from quantmill.stages.features import technical_rating_table

    bars = dbt.ref("session_bars").order("symbol, session_date").to_arrow_table()
    return technical_rating_table(bars)
