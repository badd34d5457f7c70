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
RUN_SYMBOLS = """
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
"""

# From the first row that a window estimates on to the as-of date.
RUN_SPAN = """
    select min(windows.estimation_start_date) as first_date, max(runs.as_of_date) as last_date
    from selection.runs as runs
    left join selection.windows as windows on runs.run_id = windows.run_id
    where runs.run_id = $run_id
"""
