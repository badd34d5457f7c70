-- How much did trading cost each portfolio, and how much of the book did it turn over?
select
    cells.engine || ' ' || cells.risk_profile as portfolio,
    count(distinct trades.session_date) as trading_days,
    round(sum(abs(trades.traded_weight)), 2) as traded_of_book,
    round(10000 * sum(trades.cost), 1) as cost_bps,
    round(10000 * max(case when metrics.metric = 'cost_drag' then metrics.value end), 1) as annual_return_lost_bps
from selection.runs_latest as latest
inner join tournaments.cells as cells on latest.run_id = cells.run_id
inner join tournaments.trades as trades on cells.run_id = trades.run_id and cells.cell_id = trades.cell_id
left join tournaments.cell_metrics as metrics
    on cells.run_id = metrics.run_id and cells.cell_id = metrics.cell_id and metrics.metric = 'cost_drag'
where
    latest.profile = 'sample' and cells.cost_model = 'std_6bp' and cells.rebalance_mode = 'window'
    and cells.selection_engine = 'v3.2'
    and cells.engine in ('custom', 'market')
group by portfolio
order by cost_bps desc, portfolio asc
