-- Fails with the sessions on which market or raw_pool_ew differ between selection engines, or market between modes.
select
    days.run_id,
    days.session_date,
    cells.risk_profile,
    cells.window_set,
    cells.simulator,
    cells.cost_model,
    case when cells.risk_profile = 'raw_pool_ew' then cells.rebalance_mode end as rebalance_mode
from {{ ref('portfolio_returns') }} as days
inner join {{ ref('cells') }} as cells on days.run_id = cells.run_id and days.cell_id = cells.cell_id
where cells.is_baseline and cells.risk_profile in ('market', 'raw_pool_ew')
group by all
having max(days.net_return) - min(days.net_return) > 1e-15
