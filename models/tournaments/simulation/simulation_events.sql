-- One row per cell and event of its simulation: a stale mark, a target that could not be traded, a liquidation.
with unnested as (

    select
        run_id,
        cell_id,
        unnest(events) as item
    from {{ ref('calc_simulations') }}

),

final as (

    select
        -- keys
        run_id,
        cell_id,
        item.position as position,

        -- the event
        item.session_date as session_date,
        item.window_index as window_index,
        item.symbol as symbol,
        item.code as code,
        item.value as value

    from unnested

)

select * from final
order by cell_id, position
