-- What did each portfolio earn after costs, and how does that compare with the baselines?
select
    cells.engine || ' ' || cells.risk_profile as portfolio,
    round(100 * max(case when metrics.metric = 'cagr' then metrics.value end), 2) as annual_return_percent,
    round(100 * max(case when metrics.metric = 'annualized_vol' then metrics.value end), 2) as volatility_percent,
    round(max(case when metrics.metric = 'sharpe' then metrics.value end), 3) as sharpe,
    round(100 * max(case when metrics.metric = 'max_drawdown' then metrics.value end), 2) as worst_drawdown_percent
from selection.runs_latest as latest
inner join tournaments.cells as cells on latest.run_id = cells.run_id
inner join tournaments.cell_metrics as metrics on cells.run_id = metrics.run_id and cells.cell_id = metrics.cell_id
where latest.profile = 'sample' and cells.cost_model = 'std_6bp' and cells.rebalance_mode = 'window'
group by cells.is_baseline, portfolio
order by cells.is_baseline asc, sharpe desc, portfolio asc
