-- One row per cell and session: what the book earned, paid and was worth before any trade at that close.
with unnested as (

    select
        run_id,
        cell_id,
        unnest(days) as item
    from {{ ref('calc_simulations') }}

),

final as (

    select
        -- keys
        run_id,
        cell_id,
        item.session_date as session_date,
        item.window_index as window_index,

        -- returns, all over the worth of the book at the close before
        item.gross_return as gross_return,
        item.cost as cost,
        item.borrow_cost as borrow_cost,
        item.net_return as net_return,

        -- the book
        item.nav as nav,
        item.turnover as turnover,
        item.is_rebalance as is_rebalance,
        item.gross_exposure as gross_exposure,
        item.net_exposure as net_exposure,
        item.held_count as held_count

    from unnested

)

select * from final
order by cell_id, session_date
