-- Did selecting add anything, and did weighting: what came of each step by year, in percent a window?
select
    year(windows.test_end_date) as year,
    count(*) as windows,
    round(100 * avg(attribution.pool_return), 2) as whole_pool,
    round(100 * avg(attribution.selection_alpha), 2) as added_by_selecting,
    round(100 * avg(attribution.optimisation_alpha), 2) as added_by_weighting,
    round(100 * avg(attribution.period_return), 2) as headline
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
group by year
order by year
