-- One row per cell: its dimensions, headline metrics, the gates it was judged at, the verdict on it and its rank.
{% set gates = [
    'friction_decay', 'temporal_fragility', 'selection_jaccard', 'af_dist', 'stress_alpha', 'turnover', 'cvar_mult',
    'mdd_mult', 'sim_parity', 'beta', 'concentration', 'coverage', 'solvency', 'integrity'
] -%}
{% set numbers = [
    'sharpe', 'cagr', 'annualized_vol', 'max_drawdown', 'cvar_95', 'avg_turnover', 'ann_turnover', 'cost_drag', 'beta'
] -%}

with cells as (

    select cells.*
    from {{ ref('cells') }} as cells
    inner join {{ current_unsealed_run() }} as current_run on cells.run_id = current_run.run_id

),

configs as (

    select
        run_id,
        config_id,
        status as config_status,
        baseline_role
    from {{ ref('configs') }}

),

metrics as (

    select
        run_id,
        cell_id,
        {% for name in numbers %}
            max(value) filter (where metric = '{{ name }}') as {{ name }},
        {% endfor %}
        max(value) filter (where metric = 'n_obs') as n_obs,
        max(value) filter (where metric = 'n_windows') as n_windows,
        max(value) filter (where metric = 'solver_success') as solver_success
    from {{ ref('cell_metrics') }}
    group by run_id, cell_id

),

gates as (

    select
        run_id,
        {% for gate in gates %}
            bool_or(is_passed) filter (where gate = '{{ gate }}') as is_{{ gate }},
            max(value) filter (where gate = '{{ gate }}') as {{ gate }}_value,
            max(limit_value) filter (where gate = '{{ gate }}') as {{ gate }}_limit,
        {% endfor %}
        cell_id
    from {{ ref('veto_matrix') }}
    group by run_id, cell_id

),

verdicts as (

    select * from {{ ref('calc_scoreboard') }}

),

final as (

    select
        -- keys
        cells.run_id,
        cells.cell_id,
        cells.config_id,

        -- dimensions
        cells.selection_engine,
        cells.window_set,
        cells.rebalance_mode,
        cells.engine,
        cells.risk_profile,
        cells.variant,
        cells.simulator,
        cells.cost_model,
        cells.execution,
        cells.mode,
        cells.is_baseline,
        configs.baseline_role,

        -- the verdict
        {{ setting('tier') }} as tier,
        verdicts.rank,
        verdicts.unranked_reason,
        verdicts.duplicate_of,
        verdicts.is_strict_candidate,
        verdicts.not_candidate_reason,
        verdicts.veto_reasons,
        verdicts.missing_inputs,
        verdicts.is_promotable,
        verdicts.promotion_blockers,
        verdicts.warnings,

        -- headline metrics
        {% for name in numbers %}
            metrics.{{ name }},
        {% endfor %}
        cast(metrics.n_obs as integer) as n_obs,
        cast(metrics.n_windows as integer) as n_windows,
        metrics.solver_success,

        -- gates
        {% for gate in gates %}
            gates.is_{{ gate }},
            gates.{{ gate }}_value,
            gates.{{ gate }}_limit,
        {% endfor %}

        -- how the cell and its configuration ended
        cells.status,
        configs.config_status

    from cells
    inner join configs on cells.run_id = configs.run_id and cells.config_id = configs.config_id
    inner join verdicts on cells.run_id = verdicts.run_id and cells.cell_id = verdicts.cell_id
    left join metrics on cells.run_id = metrics.run_id and cells.cell_id = metrics.cell_id
    left join gates on cells.run_id = gates.run_id and cells.cell_id = gates.cell_id

)

select * from final
order by cell_id
