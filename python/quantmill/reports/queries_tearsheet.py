"""The queries behind the tearsheet of one cell. Rolling and monthly figures are made here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

# The days of one cell beside those of its market, and what a share of the starting worth is.
DAYS = """
days as (

    select
        own.session_date,
        own.window_index,
        own.gross_return,
        own.net_return,
        own.cost,
        own.borrow_cost,
        own.turnover,
        own.is_rebalance,
        own.nav,
        market.net_return as market_return
    from tournaments.portfolio_returns as own
    left join tournaments.portfolio_returns as market
        on own.run_id = market.run_id
        and own.session_date = market.session_date
        and market.cell_id = $market_cell_id
    where own.run_id = $run_id
        and own.cell_id = $cell_id

)
"""

TEARSHEET_QUERIES: Mapping[str, str] = {
    "months": f"""
with {DAYS.strip()}

select
    year(session_date) as year,
    coalesce(month(session_date), 0) as month,
    product(1 + net_return) - 1 as net_return,
    case when count(market_return) = count(*) then product(1 + market_return) - 1 end as market_return,
    count(*) as session_count
from days
group by grouping sets ((year(session_date), month(session_date)), (year(session_date)))
order by year, month
""",
    # A session that is no lower than every one before it begins an episode, so that of an episode only its
    # first session is not under water, and the next one begins where the fall is made good.
    "drawdowns": """
with path as (

    select min(decision_date) as session_date, any_value(settings.starting_nav) as nav
    from selection.windows as windows
    cross join (
        select cast(value as double) as starting_nav from selection.run_settings
        where run_id = $run_id and key = 'simulation.starting_nav'
    ) as settings
    where windows.run_id = $run_id
        and windows.window_set = $window_set

    union all

    select session_date, nav
    from tournaments.portfolio_returns
    where run_id = $run_id
        and cell_id = $cell_id

),

peaks as (

    select *, max(nav) over (order by session_date rows unbounded preceding) as peak
    from path

),

episodes as (

    select
        session_date,
        nav / peak - 1 as drawdown,
        sum((nav >= peak)::integer) over (order by session_date rows unbounded preceding) as episode
    from peaks

),

falls as (

    select
        episode,
        min(session_date) as peak_date,
        arg_min(session_date, drawdown) as valley_date,
        min(drawdown) as depth,
        count(*) - 1 as under_water_count
    from episodes
    group by episode

),

recoveries as (

    select *, lead(peak_date) over (order by episode) as recovery_date
    from falls

)

select
    peak_date,
    valley_date,
    recovery_date,
    depth,
    under_water_count
from recoveries
where depth < 0
order by depth, peak_date
limit 5
""",
    "rolling": f"""
with {DAYS.strip()},

year as (

    select cast(value as double) as periods from selection.run_settings
    where run_id = $run_id
        and key = 'periods_per_year'

),

measured as (

    select
        session_date,
        count(*) over recent as session_count,
        avg(net_return) over recent as mean,
        stddev_samp(net_return) over recent as deviation,
        stddev_samp(market_return) over recent as market_deviation,
        covar_samp(net_return, market_return) over recent as covariance,
        count(market_return) over recent as market_count
    from days
    window recent as (order by session_date rows between $preceding preceding and current row)

)

select
    session_date,
    case when deviation >= 1e-12 then mean / deviation * sqrt(periods) end as sharpe,
    deviation * sqrt(periods) as annualized_vol,
    case
        when market_count = session_count and market_deviation >= 1e-12
            then covariance / (market_deviation * market_deviation)
    end as beta
from measured
cross join year
where session_count = $preceding + 1
order by session_date
""",
    # The width doubles from five basis points on until 60 bars are enough.
    "histogram": """
with days as (

    select net_return
    from tournaments.portfolio_returns
    where run_id = $run_id
        and cell_id = $cell_id

),

sized as (

    select
        0.0005 * pow(
            2, greatest(0, ceil(log2(greatest(max(net_return) - min(net_return), 1e-9) / 60 / 0.0005)))
        ) as width
    from days

),

binned as (

    select sized.width, floor(days.net_return / sized.width) as number
    from days
    cross join sized

)

select
    number * any_value(width) as lower_edge,
    any_value(width) as width,
    count(*) as session_count
from binned
group by number
order by number
""",
    "cost_years": """
select
    year(session_date) as year,
    count(*) as session_count,
    count(*) filter (where is_rebalance) as rebalance_count,
    sum(turnover) as turnover,
    sum(cost) as cost,
    sum(borrow_cost) as borrow_cost,
    product(1 + gross_return) - 1 as gross_return,
    product(1 + net_return) - 1 as net_return
from tournaments.portfolio_returns
where run_id = $run_id
    and cell_id = $cell_id
group by year(session_date)
order by year
""",
    "cost_path": """
select
    session_date,
    sum(cost) over (order by session_date rows unbounded preceding) as cost,
    sum(borrow_cost) over (order by session_date rows unbounded preceding) as borrow_cost
from tournaments.portfolio_returns
where run_id = $run_id
    and cell_id = $cell_id
order by session_date
""",
    # What each symbol added to the worth of the book, in units of the worth at the start. Its returns are those
    # that the run read, on the run's calendar and in its currency, which the streams of its atoms record; the
    # stream of a short is the mirror of its symbol's, down to the loss of its collateral. Where the book is left
    # alone between decisions a holding grows with its symbol; where it is brought back to its target
    # at every close the holding of each session is the target.
    "contributions": """
with starting as (

    select cast(value as double) as nav from selection.run_settings
    where run_id = $run_id
        and key = 'simulation.starting_nav'

),

days as (

    select
        own.session_date,
        own.window_index,
        own.cost,
        own.borrow_cost,
        lag(own.nav, 1, starting.nav) over (order by own.session_date) as nav_before
    from tournaments.portfolio_returns as own
    cross join starting
    where own.run_id = $run_id
        and own.cell_id = $cell_id

),

returns as (

    select
        symbol,
        direction,
        session_date,
        any_value(case direction when 'SHORT' then -synthetic_return else synthetic_return end) as simple_return
    from tournaments.atom_returns
    where run_id = $run_id
    group by symbol, direction, session_date

),

held as (

    select
        days.session_date,
        days.nav_before,
        days.cost,
        days.window_index,
        books.symbol,
        books.net_weight,
        coalesce(returns.simple_return, 0) as simple_return
    from days
    inner join tournaments.target_weights as books
        on books.run_id = $run_id
        and books.config_id = $config_id
        and days.window_index = books.window_index
    left join returns
        on books.symbol = returns.symbol
        and days.session_date = returns.session_date
        and returns.direction = case when books.net_weight < 0 then 'SHORT' else 'LONG' end

),

grown as (

    select
        *,
        first_value(nav_before * (1 - cost)) over whole as nav_of_decision,
        coalesce(product(1 + simple_return) over earlier, 1) as growth_before
    from held
    window
        whole as (partition by window_index, symbol order by session_date),
        earlier as (
            partition by window_index, symbol order by session_date
            rows between unbounded preceding and 1 preceding
        )

),

earned as (

    select
        symbol,
        sum(
            case
                when $rebalance_mode = 'daily' then nav_before * (1 - cost) * net_weight * simple_return
                else nav_of_decision * net_weight * growth_before * simple_return
            end
        ) / any_value(starting.nav) as contribution,
        count(distinct window_index) filter (where net_weight <> 0) as window_count
    from grown
    cross join starting
    group by symbol

),

latest as (

    select symbol, net_weight
    from tournaments.target_weights
    where run_id = $run_id
        and config_id = $config_id
        and net_weight <> 0
        and window_index = (
        select max(window_index) from tournaments.window_allocations
        where run_id = $run_id and config_id = $config_id
    )

),

charged as (

    select
        -sum(nav_before * cost) / any_value(starting.nav) as cost,
        -sum(nav_before * borrow_cost) / any_value(starting.nav) as borrow_cost
    from days
    cross join starting

),

final as (

    select earned.symbol, latest.net_weight, earned.contribution, earned.window_count, 0 as kind
    from earned
    left join latest on earned.symbol = latest.symbol

    union all

    select 'costs', null, cost, null, 1
    from charged

    union all

    select 'borrow', null, borrow_cost, null, 2
    from charged

)

select *
from final
order by kind, net_weight desc nulls last, contribution desc, symbol
""",
}
