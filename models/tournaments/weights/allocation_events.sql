-- One row per window, configuration and event of its allocation: what was dropped, relaxed or suspicious.
with unnested as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        unnest(events) as item
    from {{ ref('calc_allocations') }}

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        config_id,
        item.position as position,

        -- values
        item.code as code,
        item.severity as severity,
        item.detail as detail

    from unnested

)

select * from final
order by config_id, window_index, position
