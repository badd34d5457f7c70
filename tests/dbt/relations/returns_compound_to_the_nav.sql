-- Fails with the sessions at which the book did not grow by its net return.
with steps as (

    select
        run_id,
        cell_id,
        session_date,
        net_return,
        nav,
        lag(nav) over (partition by run_id, cell_id order by session_date) as previous_nav
    from {{ ref('portfolio_returns') }}

)

select *
from steps
where previous_nav is not null and abs(nav - previous_nav * (1 + net_return)) > 1e-12 * abs(previous_nav)
