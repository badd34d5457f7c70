-- Fails with candidates that have no outcome under an engine, winners never kept, and a baseline that chose.
with engines as (

    select distinct
        run_id,
        selection_engine
    from {{ ref('funnel') }}

),

-- an atom that several scanners found is one candidate: one of its rows is kept
atoms as (

    select
        run_id,
        window_set,
        window_index,
        atom_id,
        bool_or(is_kept) as is_kept
    from {{ ref('candidates') }}
    group by all

)

select
    atoms.run_id,
    atoms.window_set,
    atoms.window_index,
    engines.selection_engine,
    atoms.atom_id
from atoms
inner join engines on atoms.run_id = engines.run_id
left join {{ ref('decisions') }} as decisions
    on
        atoms.run_id = decisions.run_id
        and atoms.window_set = decisions.window_set
        and atoms.window_index = decisions.window_index
        and engines.selection_engine = decisions.selection_engine
        and atoms.atom_id = decisions.atom_id
where
    decisions.atom_id is null
    or (decisions.outcome = 'WINNER' and not atoms.is_kept)
    or (engines.selection_engine = 'baseline' and (decisions.outcome = 'WINNER') <> atoms.is_kept)
