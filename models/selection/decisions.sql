-- One row per window, selection engine and atom: the one final outcome, and why.
with candidates as (

    select candidates.*
    from {{ ref('candidates') }} as candidates
    inner join {{ current_unsealed_run() }} as current_run on candidates.run_id = current_run.run_id

),

engines as (

    select item as selection_engine from {{ setting_list('matrix.selection_engines') }}

),

-- `baseline` recruits every candidate that has data; its score is 1 for all, so ranks follow atom_id
final as (

    select
        -- keys
        candidates.run_id,
        candidates.window_set,
        candidates.window_index,
        engines.selection_engine,
        candidates.atom_id,

        -- the atom
        candidates.symbol,
        candidates.logic,
        candidates.direction,

        -- the outcome
        case when candidates.is_kept then 'WINNER' else 'NOT_IN_POOL' end as outcome,
        candidates.drop_reason as reason,
        cast(null as varchar) as lost_to,
        case when candidates.is_kept then 'BASELINE' end as selected_via,
        cast(case when candidates.is_kept then 1.0 end as double) as score,
        cast(null as integer) as cluster_id,
        0 as relaxation_stage

    from candidates
    inner join engines on engines.selection_engine = 'baseline'

)

select * from final
order by window_set, window_index, selection_engine, atom_id
