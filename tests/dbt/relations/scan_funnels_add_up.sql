-- Fails with stages that do not leave what the stage before them left less their own losses, and with funnels that do
-- not end with the candidates of their scan.
with stages as (

    select
        *,
        lag(remaining_count) over (partition by load_id, scanner_id order by stage_number) as before_count
    from {{ ref('scan_funnel') }}

),

kept as (

    select
        load_id,
        scanner_id,
        count(*) filter (where is_kept) as kept_count
    from {{ ref('scan_candidates') }}
    group by load_id, scanner_id

)

select
    stages.load_id,
    stages.scanner_id,
    stages.stage,
    stages.before_count,
    stages.dropped_count,
    stages.remaining_count,
    kept.kept_count
from stages
left join kept on stages.load_id = kept.load_id and stages.scanner_id = kept.scanner_id
where
    stages.remaining_count <> coalesce(stages.before_count, stages.fetched_count) - stages.dropped_count
    or (stages.stage = 'selected' and stages.remaining_count <> coalesce(kept.kept_count, 0))
