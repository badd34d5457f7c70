-- One row per cell and window: where its return over the market came from, the pool, the selection or the weights.
with window_returns as (

    select
        metrics.run_id,
        metrics.cell_id,
        metrics.window_index,
        metrics.value as period_return,
        cells.window_set,
        cells.risk_profile,
        cells.is_baseline,
        -- what a baseline must share with a cell to stand beside it
        row(
            cells.selection_engine, cells.window_set, cells.rebalance_mode, cells.simulator, cells.cost_model,
            cells.execution, cells.mode
        ) as company
    from {{ ref('window_metrics') }} as metrics
    inner join {{ ref('cells') }} as cells on metrics.run_id = cells.run_id and metrics.cell_id = cells.cell_id
    inner join {{ current_unsealed_run() }} as current_run on metrics.run_id = current_run.run_id
    where metrics.metric = 'period_return' and metrics.status = 'ok'

),

baselines as (

    select
        company,
        window_index,
        max(period_return) filter (where risk_profile = 'market') as market_return,
        max(period_return) filter (where risk_profile = 'raw_pool_ew') as pool_return,
        max(period_return) filter (where risk_profile = 'benchmark') as benchmark_return
    from window_returns
    where is_baseline
    group by company, window_index

),

attributed as (

    select
        window_returns.*,
        baselines.market_return,
        baselines.pool_return,
        baselines.benchmark_return,
        baselines.pool_return - baselines.market_return as discovery_alpha,
        baselines.benchmark_return - baselines.pool_return as selection_alpha,
        window_returns.period_return - baselines.benchmark_return as optimisation_alpha,
        window_returns.period_return - baselines.pool_return as total_excess
    from window_returns
    left join baselines
        on window_returns.company = baselines.company and window_returns.window_index = baselines.window_index
    where not window_returns.is_baseline

),

final as (

    select
        -- keys
        run_id,
        cell_id,
        window_set,
        window_index,

        -- returns over the window
        period_return,
        market_return,
        pool_return,
        benchmark_return,

        -- where they came from
        discovery_alpha,
        selection_alpha,
        optimisation_alpha,
        total_excess,
        case when abs(total_excess) >= 1e-9 then selection_alpha / total_excess end as efficiency

    from attributed

)

select * from final
order by cell_id, window_index
