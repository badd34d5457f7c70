-- What did each portfolio earn after costs, and how does that compare with the baselines?
select
    scoreboard.engine || ' ' || scoreboard.risk_profile as portfolio,
    round(100 * scoreboard.cagr, 2) as annual_return_percent,
    round(100 * scoreboard.annualized_vol, 2) as volatility_percent,
    round(scoreboard.sharpe, 3) as sharpe,
    round(100 * scoreboard.max_drawdown, 2) as worst_drawdown_percent
from selection.runs_latest as latest
inner join tournaments.scoreboard as scoreboard on latest.run_id = scoreboard.run_id
where
    latest.profile = 'sample'
    and scoreboard.selection_engine = 'v3.2'
    and scoreboard.rebalance_mode = 'window'
    and scoreboard.cost_model = 'std_6bp'
    and scoreboard.engine in ('custom', 'market')
order by scoreboard.is_baseline asc, sharpe desc, portfolio asc
