-- One row per window and configuration: how the window was solved and what stayed in cash.
with final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        config_id,

        -- state
        status,
        fallback_reason,

        -- outcome
        cash,
        1 - coalesce(list_sum(list_transform(targets, target -> target.net_weight)), 0) as net_cash,
        len(weights) as atom_count,
        cluster_count,
        ex_ante_volatility,
        ex_ante_return,

        -- what the estimates rest on
        estimation_count,
        dropped_count

    from {{ ref('calc_allocations') }}

)

select * replace (cast(atom_count as integer) as atom_count)
from final
order by config_id, window_index
