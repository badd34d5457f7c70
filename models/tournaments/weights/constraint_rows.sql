-- One row per window, configuration and constraint: the bound, the value and whether it was reached or relaxed.
-- A type has a row for its largest value, and one for each unit that reaches the bound.
with unnested as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        unnest(constraints) as item
    from {{ ref('calc_allocations') }}

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        config_id,
        item.constraint_name as constraint_name,

        -- what is bounded
        item.constraint_type as constraint_type,
        item.unit as unit,

        -- values
        item.bound as bound,
        item.value as value,
        item.bound - item.value as slack,
        item.is_binding as is_binding,
        item.is_relaxed as is_relaxed

    from unnested

)

select * from final
order by config_id, window_index, constraint_name
