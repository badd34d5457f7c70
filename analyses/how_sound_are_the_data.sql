-- How sound are the data: what was landed, what of it is used, and what was found in it?
with verdicts as (

    select
        count(*) as landed,
        count(*) filter (where verdict = 'ACCEPTED') as accepted,
        count(*) filter (where verdict = 'SUPERSEDED') as superseded,
        count(*) filter (where is_late_revision) as late_revisions
    from features.bar_verdicts

),

rejected as (

    select count(*) as quarantined
    from raw.quarantine

),

gaps as (

    select count(*) as missing_sessions
    from features.bar_gaps

),

spikes as (

    select count(*) filter (where not is_resolved) as open_spikes
    from features.bar_spikes

),

health as (

    select
        count(*) as symbols,
        count(*) filter (where verdict = 'OK') as ok
    from features.symbol_health
    group by as_of_date
    order by as_of_date desc
    limit 1

)

select
    verdicts.landed as landed_bars,
    verdicts.accepted,
    verdicts.superseded,
    verdicts.late_revisions,
    rejected.quarantined,
    gaps.missing_sessions,
    spikes.open_spikes,
    health.ok || ' of ' || health.symbols as symbols_ok_now
from verdicts
cross join rejected
cross join gaps
cross join spikes
cross join health
