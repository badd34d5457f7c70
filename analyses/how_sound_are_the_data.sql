-- How sound are the data: what was landed, what of it is used, and what was found in it?
with verdicts as (

    select
        count(*) as landed,
        count(*) filter (where verdict = 'ACCEPTED') as accepted,
        count(*) filter (where verdict = 'SUPERSEDED') as superseded,
        count(*) filter (where is_late_revision) as late_revisions
    from features.bar_verdicts

),

health as (

    select
        count(*) as symbols,
        count(*) filter (where verdict = 'OK') as ok
    from features.symbol_health
    where as_of_date = (select max(session_date) from features.session_bars)

)

select
    verdicts.landed as landed_bars,
    verdicts.accepted,
    verdicts.superseded,
    verdicts.late_revisions,
    (select count(*) from raw.quarantine) as quarantined,
    (select count(*) from features.bar_gaps) as missing_sessions,
    (select count(*) from features.bar_spikes where not is_resolved) as open_spikes,
    health.ok || ' of ' || health.symbols as symbols_ok_now
from verdicts
cross join health
