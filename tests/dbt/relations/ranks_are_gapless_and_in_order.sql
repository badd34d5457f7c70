-- Fails with the ranked cells that break the order, or should not be ranked.
with ranked as (

    select
        *,
        row_number() over (
            partition by run_id, window_set
            order by sharpe desc, ann_turnover asc, config_id asc
        ) as expected_rank
    from {{ ref('scoreboard') }}
    where rank is not null

)

select
    run_id,
    cell_id,
    rank,
    expected_rank
from ranked
where
    rank <> expected_rank
    or is_baseline
    or cost_model = 'gross'
    or status <> 'ok'
    or config_status not in ('native', 'composed')
    or unranked_reason is not null
union all
select
    run_id,
    cell_id,
    rank,
    null as expected_rank
from {{ ref('scoreboard') }}
where rank is null and unranked_reason is null
