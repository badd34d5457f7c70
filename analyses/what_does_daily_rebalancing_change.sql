-- What does bringing the weights back every day change, against letting them drift between two decisions?
select
    risk_profile,
    round(max(sharpe) filter (where rebalance_mode = 'window'), 3) as sharpe_drifting,
    round(max(sharpe) filter (where rebalance_mode = 'daily'), 3) as sharpe_daily,
    round(max(ann_turnover) filter (where rebalance_mode = 'window'), 2) as turnover_drifting,
    round(max(ann_turnover) filter (where rebalance_mode = 'daily'), 2) as turnover_daily,
    round(10000 * max(cost_drag) filter (where rebalance_mode = 'window'), 1) as cost_bps_drifting,
    round(10000 * max(cost_drag) filter (where rebalance_mode = 'daily'), 1) as cost_bps_daily
from tournaments.scoreboard
where
    run_id in (
        select latest.run_id from selection.runs_latest as latest
        where latest.profile = 'sample'
    )
    and selection_engine = 'v3.2'
    and engine = 'custom'
    and cost_model = 'std_6bp'
group by risk_profile
order by risk_profile
