-- Fails with the cells whose metrics break an order that holds by definition.
with metrics as (

    select
        run_id,
        cell_id,
        max(value) filter (where metric = 'max_drawdown') as max_drawdown,
        max(value) filter (where metric = 'cvar_95') as cvar_95,
        max(value) filter (where metric = 'var_95') as var_95,
        max(value) filter (where metric = 'n_obs') as n_obs
    from {{ ref('cell_metrics') }}
    group by run_id, cell_id

),

days as (

    select
        run_id,
        cell_id,
        count(*) as session_count
    from {{ ref('portfolio_returns') }}
    group by run_id, cell_id

)

select
    metrics.run_id,
    metrics.cell_id
from metrics
left join days on metrics.run_id = days.run_id and metrics.cell_id = days.cell_id
where
    not coalesce(metrics.max_drawdown between -1 and 0, true)
    or metrics.cvar_95 > metrics.var_95
    or metrics.n_obs <> coalesce(days.session_count, 0)
