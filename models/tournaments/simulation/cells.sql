-- One row per run and cell: a configuration in one simulator under one cost model, and how its simulation ended.
with planned as (

    select * from {{ ref('calc_plan') }}

),

simulated as (

    select * from {{ ref('calc_simulations') }}

),

final as (

    select
        -- keys
        planned.run_id,
        planned.cell_id,
        planned.config_id,

        -- dimensions
        planned.selection_engine,
        planned.window_set,
        planned.rebalance_mode,
        planned.engine,
        planned.risk_profile,
        planned.variant,
        planned.simulator,
        planned.cost_model,
        planned.execution,
        planned.mode,
        planned.is_baseline,

        -- state
        coalesce(simulated.status, 'error') as status,
        case when simulated.status is null then 'the cell was planned but not simulated' else simulated.reason end
            as reason

    from planned
    left join simulated on planned.run_id = simulated.run_id and planned.cell_id = simulated.cell_id

)

select * from final
order by cell_id
