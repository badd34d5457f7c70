-- One row per judgement, rule and failing row that was kept: whose it is, what was found and what was expected.
with unnested as (

    select
        *,
        unnest(failures) as item
    from {{ ref('calc_quality') }}

),

final as (

    select
        -- keys
        judgement_id,
        suite,
        expectation,
        item.rank as rank,

        -- what was judged, for whom
        snapshot_id,
        profile,
        relation,

        -- the rule
        severity,
        rule_digest,
        unexpected_count,

        -- the row
        item.symbol as symbol,
        item.session_date as session_date,
        item.expected as expected,
        item.detail as detail,

        -- when
        judged_at_utc

    from unnested

)

select * from final
order by suite, expectation, rank
