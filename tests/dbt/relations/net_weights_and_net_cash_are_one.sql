-- Fails with the windows whose net weights and net cash do not add up to one: what the simulators trade to.
with totals as (

    select
        allocations.run_id,
        allocations.window_set,
        allocations.window_index,
        allocations.config_id,
        any_value(allocations.net_cash) as net_cash,
        coalesce(sum(targets.net_weight), 0) as net_weight
    from {{ ref('window_allocations') }} as allocations
    left join {{ ref('target_weights') }} as targets
        on
            allocations.run_id = targets.run_id
            and allocations.window_set = targets.window_set
            and allocations.window_index = targets.window_index
            and allocations.config_id = targets.config_id
    group by all

)

select *
from totals
where abs(net_weight + net_cash - 1) > 1e-6
