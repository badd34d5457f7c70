-- One row per window and selection engine: how many atoms were left after each stage, and what the stages used.
with windows as (

    select windows.*
    from {{ ref('windows') }} as windows
    inner join {{ current_unsealed_run() }} as current_run on windows.run_id = current_run.run_id

),

fired as (

    select
        vetoes.window_set,
        vetoes.window_index,
        vetoes.selection_engine,
        vetoes.atom_id,
        bool_or(vetoes.severity = 'hard') as is_hard,
        bool_or(active.is_data_check) as is_data
    from {{ ref('vetoes') }} as vetoes
    inner join {{ current_unsealed_run() }} as current_run on vetoes.run_id = current_run.run_id
    inner join {{ ref('active_vetoes') }} as active on vetoes.code = active.code
    where vetoes.is_fired
    group by all

),

decided as (

    select
        decisions.*,
        measures.entropy,
        coalesce(fired.is_data, false) as has_data_veto,
        coalesce(fired.is_hard, false) as has_hard_veto
    from {{ ref('decisions') }} as decisions
    inner join {{ current_unsealed_run() }} as current_run on decisions.run_id = current_run.run_id
    left join {{ ref('atom_measures') }} as measures
        on
            decisions.window_set = measures.window_set
            and decisions.window_index = measures.window_index
            and decisions.atom_id = measures.atom_id
            and measures.is_kept
    left join fired
        on
            decisions.window_set = fired.window_set
            and decisions.window_index = fired.window_index
            and decisions.selection_engine = fired.selection_engine
            and decisions.atom_id = fired.atom_id

),

counted as (

    select
        window_set,
        window_index,
        selection_engine,
        count(*) as universe_count,
        count(*) filter (where outcome <> 'NOT_IN_POOL') as raw_pool_count,
        count(*) filter (where outcome <> 'NOT_IN_POOL' and not has_data_veto) as data_ok_count,
        count(score) as scored_count,
        count(*) filter (where outcome <> 'NOT_IN_POOL' and not has_hard_veto) as not_hard_count,
        count(*) filter (where outcome not in ('NOT_IN_POOL', 'VETOED')) as not_vetoed_count,
        count(*) filter (where outcome = 'WINNER') as winner_count,
        count(*) filter (where outcome = 'WINNER' and direction = 'LONG') as long_count,
        count(*) filter (where outcome = 'WINNER' and direction = 'SHORT') as short_count,
        avg(entropy order by atom_id) as mean_entropy
    from decided
    group by all

),

engines as (

    select
        windows.*,
        engines.item as selection_engine
    from windows
    cross join {{ setting_list('matrix.selection_engines') }} as engines

),

final as (

    select
        -- keys
        engines.run_id,
        engines.window_set,
        engines.window_index,
        engines.selection_engine,

        -- what was left after each stage
        cast(coalesce(counted.universe_count, 0) as integer) as universe_count,
        cast(coalesce(counted.universe_count, 0) as integer) as discovered_count,
        cast(coalesce(counted.raw_pool_count, 0) as integer) as raw_pool_count,
        cast(coalesce(counted.data_ok_count, 0) as integer) as data_ok_count,
        cast(coalesce(counted.scored_count, 0) as integer) as scored_count,
        cast(coalesce(counted.not_hard_count, 0) as integer) as not_hard_count,
        cast(coalesce(counted.not_vetoed_count, 0) as integer) as not_vetoed_count,
        coalesce(calculated.cluster_count, 0) as cluster_count,
        cast(coalesce(counted.winner_count, 0) as integer) as winner_count,
        cast(coalesce(counted.long_count, 0) as integer) as long_count,
        cast(coalesce(counted.short_count, 0) as integer) as short_count,

        -- how far it came
        case
            when counted.winner_count > 0 then 'winners'
            when counted.scored_count > 0 then 'scored'
            else 'discovered'
        end as stage_reached,
        coalesce(counted.winner_count < least(15, counted.not_hard_count), true) or counted.winner_count = 0
            as is_scarce,

        -- what the stages used
        engines.regime,
        counted.mean_entropy,
        calculated.threshold as threshold_used,
        calculated.kappa,
        calculated.shrinkage

    from engines
    left join counted
        on
            engines.window_set = counted.window_set
            and engines.window_index = counted.window_index
            and engines.selection_engine = counted.selection_engine
    left join {{ ref('calc_clusters') }} as calculated
        on
            engines.window_set = calculated.window_set
            and engines.window_index = calculated.window_index
            and list_contains(calculated.selection_engines, engines.selection_engine)

)

select * from final
order by window_set, window_index, selection_engine
