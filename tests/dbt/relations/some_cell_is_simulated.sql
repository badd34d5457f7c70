-- Fails with the runs of which no cell could be simulated: such a run is no result.
select
    run_id,
    count(*) as cell_count
from {{ ref('cells') }}
group by run_id
having count(*) = count(*) filter (where status = 'error')
