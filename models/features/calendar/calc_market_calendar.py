# One row per calendar and session, from exchange_calendars and the corrections of this desk.
def model(dbt, session):
    from quantmill.manifest.calendars import calendar_sessions, corrections_of

    symbols = dbt.ref("symbols").project("calendar_id").distinct().order("calendar_id").to_arrow_table()
    bars = dbt.ref("stg_bars").aggregate("min(opened_at_utc) as first_bar").to_arrow_table()
    corrections = dbt.ref("seed_calendar_corrections").to_arrow_table()
    return calendar_sessions(
        symbols["calendar_id"].to_pylist(), bars["first_bar"][0].as_py(), corrections_of(corrections.to_pylist())
    )
