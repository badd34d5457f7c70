-- Which names made the headline's worst window?
with headline as (

    select
        cells.run_id,
        cells.cell_id,
        cells.config_id
    from selection.runs_latest as latest
    inner join tournaments.cells as cells on latest.run_id = cells.run_id
    where
        latest.profile = 'sample'
        and cells.selection_engine = 'v3.2'
        and cells.rebalance_mode = 'window'
        and cells.engine = 'custom'
        and cells.risk_profile = 'hrp'
        and cells.cost_model = 'std_6bp'

),

worst as (

    select
        headline.*,
        windows.window_index,
        windows.test_start_date,
        windows.test_end_date
    from headline
    inner join tournaments.window_metrics as metrics
        on headline.run_id = metrics.run_id and headline.cell_id = metrics.cell_id and metrics.metric = 'period_return'
    inner join selection.windows as windows
        on headline.run_id = windows.run_id and metrics.window_index = windows.window_index
    order by metrics.value asc
    limit 1

),

-- the returns that the run read: on its calendar, in its currency
returns as (

    select
        symbol,
        direction,
        session_date,
        any_value(case direction when 'SHORT' then -synthetic_return else synthetic_return end) as simple_return
    from tournaments.atom_returns
    where
        run_id in (
            select worst.run_id
            from worst
        )
    group by symbol, direction, session_date

)

select
    targets.symbol,
    round(100 * any_value(targets.net_weight), 2) as weight_percent,
    round(100 * (exp(sum(ln(1 + returns.simple_return))) - 1), 2) as return_percent,
    round(100 * any_value(targets.net_weight) * (exp(sum(ln(1 + returns.simple_return))) - 1), 2)
        as contribution_percent
from worst
inner join tournaments.target_weights as targets
    on
        worst.run_id = targets.run_id
        and worst.config_id = targets.config_id
        and worst.window_index = targets.window_index
inner join returns
    on
        targets.symbol = returns.symbol
        and returns.direction = case when targets.net_weight < 0 then 'SHORT' else 'LONG' end
        and returns.session_date between worst.test_start_date and worst.test_end_date
group by targets.symbol
order by any_value(targets.net_weight) * (exp(sum(ln(1 + returns.simple_return))) - 1) asc, targets.symbol asc
limit 8
