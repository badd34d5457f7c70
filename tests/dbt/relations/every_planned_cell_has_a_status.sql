-- Fails with the cells and configurations that are not native, composed or ok and give no reason.
select
    run_id,
    cell_id as id,
    status
from {{ ref('cells') }}
where status <> 'ok' and reason is null
union all
select
    run_id,
    config_id as id,
    status
from {{ ref('configs') }}
where status not in ('native', 'composed') and reason is null
