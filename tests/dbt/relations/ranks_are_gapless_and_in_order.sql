-- Fails with the ranked cells that break the order, or should not be ranked. Runs that were sealed before portfolios
-- counted once, which have no such setting, keep the order of their time.
with ranked as (

    select
        board.*,
        row_number() over (
            partition by board.run_id, board.window_set
            order by
                round(board.sharpe, 9) desc,
                round(board.ann_turnover, 9) asc,
                list_position(from_json(engines.value, '["VARCHAR"]'), board.engine) asc,
                board.config_id asc
        ) as expected_rank
    from {{ ref('scoreboard') }} as board
    inner join {{ ref('run_settings') }} as engines
        on board.run_id = engines.run_id and engines.key = 'matrix.engines'
    inner join {{ ref('run_settings') }} as limits
        on board.run_id = limits.run_id and limits.key = 'gates.duplicate_correlation'
    where board.rank is not null

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
