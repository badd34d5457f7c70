-- Fails with the winners that a veto fired for, and with the vetoed atoms for which none did.
with fired as (

    select distinct
        run_id,
        window_set,
        window_index,
        selection_engine,
        atom_id
    from {{ ref('vetoes') }}
    where is_fired and overridden_by is null

)

select
    decisions.run_id,
    decisions.window_set,
    decisions.window_index,
    decisions.selection_engine,
    decisions.atom_id
from {{ ref('decisions') }} as decisions
left join fired
    on
        decisions.run_id = fired.run_id
        and decisions.window_set = fired.window_set
        and decisions.window_index = fired.window_index
        and decisions.selection_engine = fired.selection_engine
        and decisions.atom_id = fired.atom_id
where
    (decisions.outcome = 'VETOED' and fired.atom_id is null)
    or (decisions.outcome not in ('VETOED', 'NOT_IN_POOL') and fired.atom_id is not null)
