-- Fails with the sessions on which a book with costs is worth more than its zero-cost twin.
with books as (

    select
        days.run_id,
        days.session_date,
        days.nav,
        cells.config_id,
        cells.simulator,
        cells.cost_model
    from {{ ref('portfolio_returns') }} as days
    inner join {{ ref('cells') }} as cells on days.run_id = cells.run_id and days.cell_id = cells.cell_id

)

select
    net.run_id,
    net.config_id,
    net.cost_model,
    net.session_date
from books as net
inner join books as gross
    on
        net.run_id = gross.run_id
        and net.config_id = gross.config_id
        and net.simulator = gross.simulator
        and net.session_date = gross.session_date
where net.cost_model <> 'gross' and gross.cost_model = 'gross' and net.nav > gross.nav
