-- One row per window, configuration and symbol: net physical weights; cash is one minus their sum.
with unnested as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        unnest(targets) as item
    from {{ ref('calc_allocations') }}

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        config_id,
        item.symbol as symbol,

        -- values
        item.net_weight as net_weight,
        item.gross_weight as gross_weight

    from unnested

)

select * from final
order by config_id, window_index, symbol
