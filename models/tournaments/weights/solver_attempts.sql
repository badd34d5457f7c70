-- One row per window, configuration and solver attempt, in the order of the ladder.
with unnested as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        unnest(attempts) as item
    from {{ ref('calc_allocations') }}

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        config_id,
        item.attempt as attempt,

        -- values
        item.step as step,
        item.engine_used as engine_used,
        item.profile_used as profile_used,
        item.solver as solver,
        item.status as status,
        item.reason as reason,
        item.condition_number as condition_number,
        item.shrinkage as shrinkage

    from unnested

)

select * from final
order by config_id, window_index, attempt
