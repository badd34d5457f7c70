# One row: the run that settings, data and code of this build amount to. Opens its ledger.
def model(dbt, session):
    from quantmill.stages.opening import open_run

    settings = dbt.ref("calc_settings").order("key").to_arrow_table()
    digests = dbt.ref("snapshot_digests").order("symbol").to_arrow_table()
    snapshots = dbt.source("ops", "snapshots").order("created_at_utc desc, snapshot_id desc").limit(1).to_arrow_table()
    gate = dbt.ref("calc_quality_gate").to_arrow_table()
    return open_run(settings, digests, snapshots, gate, label=dbt.config.get("label"), sealed=sealed_runs(session))


def sealed_runs(session):
    """Chain heads by run id of the runs that this workbench holds sealed; none before the first build."""
    known = session.sql(
        "select 1 from information_schema.tables where table_schema = 'selection' and table_name = 'runs'"
    ).fetchall()
    if not known:
        return {}
    return dict(session.sql("select run_id, chain_head from selection.runs where status = 'sealed'").fetchall())
