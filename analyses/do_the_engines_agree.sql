-- Do the two optimization engines agree, and where do they differ most?
with weights as (

    select
        configs.risk_profile,
        configs.engine,
        targets.window_index,
        targets.symbol,
        targets.net_weight
    from selection.runs_latest as latest
    inner join tournaments.configs as configs on latest.run_id = configs.run_id
    inner join tournaments.target_weights as targets
        on configs.run_id = targets.run_id and configs.config_id = targets.config_id
    where
        latest.profile = 'sample'
        and configs.selection_engine = 'v3.2'
        and configs.rebalance_mode = 'window'
        and not configs.is_baseline

),

compared as (

    select
        own.risk_profile,
        own.window_index,
        max(abs(own.net_weight - coalesce(other.net_weight, 0))) as gap
    from weights as own
    left join weights as other
        on
            own.risk_profile = other.risk_profile
            and own.window_index = other.window_index
            and own.symbol = other.symbol
            and other.engine = 'skfolio'
    where own.engine = 'custom'
    group by own.risk_profile, own.window_index

)

select
    risk_profile,
    count(*) as windows,
    count(*) filter (where gap > 0.001) as windows_apart,
    round(max(gap), 5) as largest_gap,
    case when max(gap) >= 0.000005 then arg_max(window_index, gap) end as in_window
from compared
group by risk_profile
order by risk_profile
