-- Could any decision have seen its future: what was the newest thing it read, and when was it known?
with newest as (

    select
        session_date,
        max(known_at_utc) as known_at_utc
    from features.session_bars
    group by session_date

)

select
    count(*) as windows,
    min(windows.decision_date) as first_decision,
    max(windows.decision_date) as last_decision,
    max(newest.known_at_utc - windows.decision_close_utc) as newest_known_after_decision,
    min(windows.test_start_date - windows.decision_date) as days_to_first_test_session
from selection.runs_latest as latest
inner join selection.windows as windows on latest.run_id = windows.run_id
inner join newest on windows.train_end_date = newest.session_date
where latest.profile = 'sample'
