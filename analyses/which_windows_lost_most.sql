-- Which windows lost most in minimum variance, and what did the market do in them?
with returns as (

    select
        cells.engine,
        cells.risk_profile,
        metrics.window_index,
        metrics.value
    from selection.runs_latest as latest
    inner join tournaments.cells as cells on latest.run_id = cells.run_id
    inner join tournaments.window_metrics as metrics
        on cells.run_id = metrics.run_id and cells.cell_id = metrics.cell_id
    where
        latest.profile = 'sample' and cells.cost_model = 'std_6bp' and metrics.metric = 'period_return'

)

select
    windows.decision_date,
    windows.test_end_date as until,
    round(100 * own.value, 2) as return_percent,
    round(100 * market.value, 2) as market_percent
from selection.runs_latest as latest
inner join selection.windows as windows on latest.run_id = windows.run_id
inner join returns as own
    on windows.window_index = own.window_index and own.engine = 'custom' and own.risk_profile = 'min_variance'
inner join returns as market on windows.window_index = market.window_index and market.risk_profile = 'market'
where latest.profile = 'sample'
order by own.value
limit 5
