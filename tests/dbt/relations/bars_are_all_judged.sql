-- Fails when a landed daily bar has no verdict, or when a session has not exactly one accepted bar per adjustment.
with landed as (

    select count(*) as bar_count
    from {{ ref('stg_bars') }}
    where interval = '1d'

),

judged as (

    select count(*) as bar_count from {{ ref('bar_verdicts') }}

)

select
    'landed bars without a verdict' as problem,
    landed.bar_count - judged.bar_count as bar_count
from landed
cross join judged
where landed.bar_count <> judged.bar_count
union all
select
    'sessions with more than one accepted bar' as problem,
    count(*) as bar_count
from {{ unchecked(ref('bar_verdicts')) }}
where verdict = 'ACCEPTED'
group by symbol, session_date, adjustment
having count(*) > 1
