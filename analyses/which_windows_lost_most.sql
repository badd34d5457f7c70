-- Which windows lost most in the headline, and what did the market do in them?
select
    windows.decision_date,
    windows.test_end_date as until,
    windows.regime,
    round(100 * attribution.period_return, 2) as return_percent,
    round(100 * attribution.market_return, 2) as market_percent
from selection.runs_latest as latest
inner join tournaments.cells as cells on latest.run_id = cells.run_id
inner join tournaments.attribution as attribution
    on cells.run_id = attribution.run_id and cells.cell_id = attribution.cell_id
inner join selection.windows as windows
    on attribution.run_id = windows.run_id and attribution.window_index = windows.window_index
where
    latest.profile = 'sample'
    and cells.selection_engine = 'v3.2'
    and cells.rebalance_mode = 'window'
    and cells.engine = 'custom'
    and cells.risk_profile = 'hrp'
    and cells.cost_model = 'std_6bp'
order by attribution.period_return
limit 5
