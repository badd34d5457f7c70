-- One row per cell, session and symbol traded at that session's close.
with unnested as (

    select
        run_id,
        cell_id,
        unnest(trades) as item
    from {{ ref('calc_simulations') }}

),

final as (

    select
        -- keys
        run_id,
        cell_id,
        item.session_date as session_date,
        item.symbol as symbol,

        -- the trade, as fractions of the book before it
        item.traded_weight as traded_weight,
        item.cost as cost,
        item.reason as reason

    from unnested

)

select * from final
order by cell_id, session_date, symbol
