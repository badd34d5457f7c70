-- Fails with the symbols whose net weight is not the signed sum of the weights of their atoms.
with flattened as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        symbol,
        sum(case direction when 'SHORT' then -weight else weight end) as net_weight
    from {{ ref('atom_weights') }}
    group by all

)

select flattened.*
from flattened
left join {{ ref('target_weights') }} as targets
    on
        flattened.run_id = targets.run_id
        and flattened.window_set = targets.window_set
        and flattened.window_index = targets.window_index
        and flattened.config_id = targets.config_id
        and flattened.symbol = targets.symbol
where abs(flattened.net_weight - coalesce(targets.net_weight, 0)) > 1e-9
