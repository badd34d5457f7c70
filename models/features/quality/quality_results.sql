-- One row per judgement and rule of the quality gate: whether it held, on what, and how many rows did not.
with final as (

    select
        -- keys
        judgement_id,
        suite,
        expectation,

        -- what was judged, for whom and how strictly
        snapshot_id,
        profile,
        gate,
        as_of_utc,
        relation,
        judged_count,
        content_digest,

        -- the rule
        severity,
        expected,
        remedy,
        rule_digest,

        -- the outcome
        status,
        is_success,
        is_stopping,
        observed_value,
        unexpected_count,
        error,

        -- when, and how long it took
        judged_at_utc,
        duration_seconds

    from {{ ref('calc_quality') }}

)

select * from final
order by suite, expectation
