-- Fails with the gates whose verdict, margin, status and code contradict each other.
select
    run_id,
    cell_id,
    gate,
    margin,
    is_passed,
    status,
    veto_code
from {{ ref('veto_matrix') }}
where
    (status = 'ok') <> (value is not null)
    or (status = 'ok' and is_passed is null)
    or (status <> 'ok' and is_passed)
    -- on the limit is within it, but for gaps between simulators, which stay below
    or (is_passed and margin < -1e-12)
    or (not is_passed and margin > 1e-12)
    or (status <> 'ok' and reason is null)
    or (is_veto and veto_code is null)
    or (is_passed and veto_code is not null)
    or (status = 'not_applicable' and (is_veto or limit_value is not null))
