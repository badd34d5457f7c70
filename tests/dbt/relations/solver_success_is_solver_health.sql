-- Fails with the cells whose share of accepted solves is not the solver health of their configuration.
select
    cells.run_id,
    cells.cell_id,
    metrics.value,
    configs.solver_health
from {{ ref('cells') }} as cells
inner join {{ ref('configs') }} as configs
    on cells.run_id = configs.run_id and cells.config_id = configs.config_id
left join {{ ref('cell_metrics') }} as metrics
    on
        cells.run_id = metrics.run_id
        and cells.cell_id = metrics.cell_id
        and metrics.metric = 'solver_success'
where
    -- where nothing was solved there is no share, and the metric says so instead
    configs.window_count > 0 and not coalesce(abs(metrics.value - configs.solver_health) < 1e-12, false)
    or configs.window_count = 0 and metrics.value is not null
