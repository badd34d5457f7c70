-- Which regimes did the decisions see, and what did the headline and the market earn after each?
select
    windows.regime,
    count(*) as windows,
    round(avg(windows.regime_score), 2) as mean_score,
    round(100 * avg(attribution.period_return), 2) as headline_percent,
    round(100 * avg(attribution.market_return), 2) as market_percent,
    round(100 * min(attribution.period_return), 2) as worst_percent
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
group by windows.regime
order by mean_score
