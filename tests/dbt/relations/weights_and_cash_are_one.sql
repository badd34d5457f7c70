-- Fails with the windows whose atom weights and cash do not add up to one. The market baseline has no atoms.
with totals as (

    select
        allocations.run_id,
        allocations.window_set,
        allocations.window_index,
        allocations.config_id,
        any_value(allocations.cash) as cash,
        coalesce(sum(weights.weight), 0) as weight
    from {{ ref('window_allocations') }} as allocations
    inner join {{ ref('configs') }} as configs
        on allocations.run_id = configs.run_id and allocations.config_id = configs.config_id
    left join {{ ref('atom_weights') }} as weights
        on
            allocations.run_id = weights.run_id
            and allocations.window_set = weights.window_set
            and allocations.window_index = weights.window_index
            and allocations.config_id = weights.config_id
    where configs.risk_profile <> 'market'
    group by all

)

select *
from totals
where abs(weight + cash - 1) > 1e-6
