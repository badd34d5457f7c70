"""The queries behind the data quality page."""

from __future__ import annotations

from collections.abc import Mapping

from quantmill.reports.queries_shared import RUN_SPAN, RUN_SYMBOLS

QUALITY_QUERIES: Mapping[str, str] = {
    # The newest judgement of each rule comes first; the snapshots judged before it are its history.
    "quality": """
with ranked as (

    select
        results.*,
        row_number() over (
            partition by results.profile, results.suite, results.expectation
            order by results.judged_at_utc desc, results.snapshot_id desc
        ) as age,
        count(*) over (partition by results.profile, results.suite, results.expectation) as times_judged,
        count(*) filter (where not results.is_success)
            over (partition by results.profile, results.suite, results.expectation) as times_failed
    from features.quality_results as results
    inner join selection.runs as runs
        on runs.run_id = $run_id and results.profile = runs.profile

)

select *
from ranked
where age = 1
order by is_success, suite, expectation
""",
    "quality_history": """
select results.judged_at_utc, results.snapshot_id, results.suite, results.expectation, results.is_success,
    results.unexpected_count
from features.quality_results as results
inner join selection.runs as runs
    on runs.run_id = $run_id and results.profile = runs.profile
qualify dense_rank() over (order by results.judged_at_utc desc) <= 60
order by results.judged_at_utc, results.suite, results.expectation
""",
    "quality_failures": """
select failures.suite, failures.expectation, failures.snapshot_id, failures.symbol, failures.session_date,
    failures.detail
from features.quality_failures as failures
inner join (
    select results.snapshot_id, results.suite, results.expectation
    from features.quality_results as results
    inner join selection.runs as runs
        on runs.run_id = $run_id and results.profile = runs.profile
    qualify row_number() over (
        partition by results.suite, results.expectation order by results.judged_at_utc desc, results.snapshot_id desc
    ) = 1
) as newest
    on failures.snapshot_id = newest.snapshot_id
    and failures.suite = newest.suite
    and failures.expectation = newest.expectation
order by failures.suite, failures.expectation, failures.symbol, failures.session_date
limit 200
""",
    "coverage": f"""
with symbols as ({RUN_SYMBOLS}),

span as ({RUN_SPAN}),

expected as (

    select calendar.session_date, date_trunc('month', calendar.session_date)::date as month
    from features.market_calendar as calendar
    inner join selection.run_settings as settings
        on settings.run_id = $run_id
        and settings.key = 'calendar_id'
        and calendar.calendar_id = replace(settings.value, chr(34), '')
    inner join span on calendar.session_date between span.first_date and span.last_date

),

bars as (

    select distinct symbol, session_date from features.session_bars

)

select
    symbols.symbol,
    expected.month,
    count(*) as expected_count,
    count(bars.symbol) as bar_count,
    count(bars.symbol) / count(*) as coverage
from symbols
cross join expected
left join bars
    on symbols.symbol = bars.symbol and expected.session_date = bars.session_date
group by symbols.symbol, expected.month
order by symbols.symbol, expected.month
""",
    "gaps": f"""
with symbols as ({RUN_SYMBOLS}),

span as ({RUN_SPAN})

select
    gaps.symbol,
    count(*) as session_count,
    count(*) filter (where not gaps.is_excused) as unexcused_count,
    max(gaps.run_length) as longest_run,
    min(gaps.session_date) as first_date,
    max(gaps.session_date) as last_date
from features.bar_gaps as gaps
inner join symbols on gaps.symbol = symbols.symbol
inner join span on gaps.session_date between span.first_date and span.last_date
group by gaps.symbol
order by unexcused_count desc, gaps.symbol
""",
    "spikes": f"""
with symbols as ({RUN_SYMBOLS}),

span as ({RUN_SPAN})

select spikes.symbol, spikes.session_date, spikes.code, spikes.value, spikes.donor_symbol, spikes.is_resolved,
    spikes.resolution
from features.bar_spikes as spikes
inner join symbols on spikes.symbol = symbols.symbol
inner join span on spikes.session_date between span.first_date and span.last_date
order by spikes.is_resolved, spikes.session_date desc, spikes.symbol, spikes.code
limit 200
""",
}
