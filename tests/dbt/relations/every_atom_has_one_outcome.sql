-- Fails with candidates that have no outcome under an engine, winners never kept, and a baseline that chose.
with engines as (

    select distinct
        run_id,
        selection_engine
    from {{ ref('funnel') }}

)

select
    candidates.run_id,
    candidates.window_set,
    candidates.window_index,
    engines.selection_engine,
    candidates.atom_id
from {{ ref('candidates') }} as candidates
inner join engines on candidates.run_id = engines.run_id
left join {{ ref('decisions') }} as decisions
    on
        candidates.run_id = decisions.run_id
        and candidates.window_set = decisions.window_set
        and candidates.window_index = decisions.window_index
        and engines.selection_engine = decisions.selection_engine
        and candidates.atom_id = decisions.atom_id
where
    decisions.atom_id is null
    or (decisions.outcome = 'WINNER' and not candidates.is_kept)
    or (engines.selection_engine = 'baseline' and (decisions.outcome = 'WINNER') <> candidates.is_kept)
