# One row per symbol and session with a bar: the factors that read highs and lows.
def model(dbt, session):
    from quantmill.stages.features import bar_factor_table

    bars = dbt.ref("session_bars").order("symbol, session_date").to_arrow_table()
    return bar_factor_table(bars)
