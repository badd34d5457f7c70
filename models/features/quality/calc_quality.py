# One row per rule that was judged now; none where it was judged before on the same rows.
def model(dbt, session):
    from quantmill.stages.gating import judge_quality

    return judge_quality(
        session,
        judged=[
            dbt.ref("bar_gaps"),
            dbt.ref("bar_spikes"),
            dbt.ref("bar_verdicts"),
            dbt.ref("daily_returns"),
            dbt.ref("execution_limits"),
            dbt.ref("factor_history"),
            dbt.ref("market_calendar"),
            dbt.ref("metadata_coverage"),
            dbt.ref("scan_candidates"),
            dbt.ref("session_bars"),
            dbt.ref("symbol_health"),
            dbt.ref("symbols"),
            dbt.ref("vendor_features"),
        ],
        profile=dbt.config.get("profile"),
        overrides=dbt.config.get("overrides"),
    )
