"""Parts that several queries have in common."""

from __future__ import annotations

# The cells drawn and compared: one simulator, one cost model, one execution, one mode.
SHOWN_CELLS = """
    select run_id, cell_id, config_id, window_set
    from tournaments.cells
    where run_id = $run_id
        and simulator = $simulator
        and cost_model = $cost_model
        and execution = $execution
        and mode = $mode
"""

# The symbols of a run and what it uses them for.
# Scanners name other candidates at each decision: one who is none at the last of them may have left its market.
RUN_SYMBOLS = """
    with named as (

        select
            unnest(from_json(value, '["VARCHAR"]')) as symbol,
            case key
                when 'universe.symbols' then 'candidate'
                when 'benchmarks' then 'benchmark'
                else 'landed only'
            end as role
        from selection.run_settings
        where run_id = $run_id
            and key in ('universe.symbols', 'benchmarks', 'universe.landed_only')

    ),

    chosen_from as (

        select
            candidates.symbol,
            max(windows.decision_date) = (
                select max(decision_date) from selection.windows where run_id = $run_id
            ) as is_in_the_last
        from selection.candidates as candidates
        inner join selection.windows as windows
            on candidates.run_id = windows.run_id
            and candidates.window_set = windows.window_set
            and candidates.window_index = windows.window_index
        where candidates.run_id = $run_id
            and candidates.symbol not in (select named.symbol from named)
        group by candidates.symbol

    )

    select symbol, role
    from named
    union all
    select symbol, if(is_in_the_last, 'candidate', 'former candidate') as role
    from chosen_from
"""

# From the first row that a window estimates on to the last session of the run's calendar that was over at as_of.
RUN_SPAN = """
    select
        (select min(estimation_start_date) from selection.windows where run_id = $run_id) as first_date,
        max(calendar.session_date) as last_date
    from selection.run_settings as calendars
    inner join selection.run_settings as moments
        on calendars.run_id = moments.run_id
        and moments.key = 'as_of'
    inner join features.market_calendar as calendar
        on calendar.calendar_id = replace(calendars.value, chr(34), '')
        and calendar.close_utc <= cast(replace(moments.value, chr(34), '') as timestamp)
    where calendars.run_id = $run_id
        and calendars.key = 'calendar_id'
"""
