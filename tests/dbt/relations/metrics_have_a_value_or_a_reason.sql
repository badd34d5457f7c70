-- Fails with the metrics whose value and status contradict each other.
select
    run_id,
    cell_id,
    metric
from {{ ref('cell_metrics') }}
where (value is null) <> (status <> 'ok') or (status <> 'ok' and reason is null)
