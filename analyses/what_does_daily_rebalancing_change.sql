-- What does bringing the weights back every day change, against letting them drift between two decisions?
select
    risk_profile,
    round(max(sharpe) filter (where rebalance_mode = 'window'), 3) as sharpe_drifting,
    round(max(sharpe) filter (where rebalance_mode = 'daily'), 3) as sharpe_daily,
    round(max(ann_turnover) filter (where rebalance_mode = 'window'), 2) as turnover_drifting,
    round(max(ann_turnover) filter (where rebalance_mode = 'daily'), 2) as turnover_daily,
    round(10000 * max(cost_drag) filter (where rebalance_mode = 'window'), 1) as cost_bps_drifting,
    round(10000 * max(cost_drag) filter (where rebalance_mode = 'daily'), 1) as cost_bps_daily
from selection.runs_latest as latest
inner join tournaments.scoreboard as scoreboard on latest.run_id = scoreboard.run_id
where
    latest.profile = 'sample'
    and scoreboard.selection_engine = 'v3.2'
    and scoreboard.engine = 'custom'
    and scoreboard.cost_model = 'std_6bp'
group by risk_profile
order by risk_profile
