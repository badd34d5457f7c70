-- One row per run and configuration: who allocates how, and whether its solves were healthy.
with planned as (

    select distinct
        run_id,
        config_id,
        selection_engine,
        window_set,
        rebalance_mode,
        engine,
        risk_profile,
        variant,
        is_baseline,
        baseline_role
    from {{ ref('calc_plan') }}

),

solved as (

    select
        run_id,
        config_id,
        count(*) as window_count,
        -- what an engine delegates is sound work of another
        count(*) filter (where status in ('native', 'composed', 'delegated', 'retried')) as healthy_count,
        count(*) filter (where status like 'fallback%') as fallback_count,
        any_value(capability) as capability,
        any_value(capability_reason) as capability_reason,
        arg_min(fallback_reason, window_index)
        filter (where fallback_reason is not null and status <> 'delegated') as example_reason
    from {{ ref('calc_allocations') }}
    group by run_id, config_id

),

judged as (

    select
        planned.*,
        coalesce(solved.window_count, 0) as window_count,
        coalesce(solved.fallback_count, 0) as fallback_count,
        coalesce(solved.healthy_count / nullif(solved.window_count, 0), 0.0) as solver_health,
        solved.capability,
        solved.capability_reason,
        solved.example_reason,
        {{ setting('allocation.health_min', 'double') }} as health_min
    from planned
    left join solved on planned.run_id = solved.run_id and planned.config_id = solved.config_id

),

final as (

    select
        -- keys
        run_id,
        config_id,

        -- dimensions
        selection_engine,
        window_set,
        rebalance_mode,
        engine,
        risk_profile,
        variant,
        is_baseline,
        baseline_role,

        -- state
        case
            when capability = 'not_installed' then capability
            when solver_health < health_min then 'failed'
            else capability
        end as status,
        case
            when capability = 'not_installed' then capability_reason
            when solver_health < health_min
                then
                    'solver health ' || round(solver_health, 4) || ' is below ' || health_min
                    || coalesce('; for example: ' || example_reason, '')
            when capability = 'delegated' then capability_reason
        end as reason,
        solver_health,
        cast(window_count as integer) as window_count,
        cast(fallback_count as integer) as fallback_count

    from judged

)

select * from final
order by config_id
