-- Fails with the candidates that have no outcome, and with winners that were not decided to be.
select
    candidates.run_id,
    candidates.window_set,
    candidates.window_index,
    candidates.atom_id
from {{ ref('candidates') }} as candidates
left join {{ ref('decisions') }} as decisions
    on
        candidates.run_id = decisions.run_id
        and candidates.window_set = decisions.window_set
        and candidates.window_index = decisions.window_index
        and candidates.atom_id = decisions.atom_id
where decisions.atom_id is null or (decisions.outcome = 'WINNER') <> candidates.is_kept
