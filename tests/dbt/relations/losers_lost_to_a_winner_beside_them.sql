-- Fails with the losers whose victor took no seat of their cluster and direction, and with outcomes that have none.
select
    losers.run_id,
    losers.window_set,
    losers.window_index,
    losers.selection_engine,
    losers.atom_id
from {{ ref('decisions') }} as losers
left join {{ ref('decisions') }} as winners
    on
        losers.run_id = winners.run_id
        and losers.window_set = winners.window_set
        and losers.window_index = winners.window_index
        and losers.selection_engine = winners.selection_engine
        and losers.lost_to = winners.atom_id
        and losers.cluster_id = winners.cluster_id
        and losers.direction = winners.direction
        and winners.outcome in ('WINNER', 'CAPPED')
where
    (losers.outcome in ('LOST_BATTLE', 'IDENTITY_DUP')) <> (losers.lost_to is not null)
    or (losers.lost_to is not null and winners.atom_id is null)
