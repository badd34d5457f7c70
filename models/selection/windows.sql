-- One row per window: what its decision may read and what it is tested on.
with grid as (

    select * from {{ ref('session_grid') }}

),

extent as (

    select
        max(run_id) as run_id,
        count(*) as row_count
    from grid

),

sets as (

    select
        names.item as window_set,
        (
            select cast(settings.value as integer)
            from {{ ref('calc_settings') }} as settings
            where settings.key = 'windows.' || names.item || '.train'
        ) as train,
        (
            select cast(settings.value as integer)
            from {{ ref('calc_settings') }} as settings
            where settings.key = 'windows.' || names.item || '.test'
        ) as test,
        (
            select cast(settings.value as integer)
            from {{ ref('calc_settings') }} as settings
            where settings.key = 'windows.' || names.item || '.step'
        ) as step
    from {{ setting_list('matrix.window_sets') }} as names

),

-- a history shorter than one window fails the build with the numbers
checked as (

    select
        sets.*,
        coalesce(
            try_cast({{ setting('allocation.estimation_window') }} as integer),
            case
                when {{ setting('allocation.estimation_window') }} = 'train'
                    then sets.train
                else greatest(sets.train, 120)
            end
        ) as estimation,
        case
            when extent.row_count < sets.train + sets.test
                then error(
                    'insufficient_history: window set ' || sets.window_set || ' needs ' || (sets.train + sets.test)
                    || ' sessions (train ' || sets.train || ' + test ' || sets.test || '), the grid has '
                    || extent.row_count || '; land more history, raise lookback_sessions or choose shorter windows'
                )
            else extent.row_count
        end as row_count,
        extent.run_id
    from sets
    cross join extent
    where exists (
        select 1
        from {{ ref('current_run') }} as current_run
        where not current_run.is_sealed
    )

),

starts as (

    select
        *,
        unnest(generate_series(train, row_count - test, step)) as test_row
    from checked

),

numbered as (

    select
        *,
        row_number() over (partition by window_set order by test_row) - 1 as window_index
    from starts

),

final as (

    select
        -- keys
        numbered.run_id,
        numbered.window_set,
        cast(numbered.window_index as integer) as window_index,

        -- what the decision reads
        estimation_start.session_date as estimation_start_date,
        train_start.session_date as train_start_date,
        train_end.session_date as train_end_date,
        train_end.session_date as decision_date,
        train_end.close_utc as decision_close_utc,

        -- what it is tested on; the primary segment is the part that is stitched
        test_start.session_date as test_start_date,
        test_end.session_date as test_end_date,
        primary_end.session_date as primary_end_date,

        -- the same as rows of the grid
        cast(estimation_start.grid_row as integer) as estimation_row,
        cast(numbered.test_row as integer) as test_row,
        cast(numbered.train as integer) as train_count,
        cast(numbered.test as integer) as test_count,
        cast(numbered.step as integer) as step_count,

        -- the market as it looked at the decision
        {{ setting('regime.label') }} as regime,
        cast(null as double) as regime_score,
        cast(null as varchar) as quadrant,
        {{ setting('regime.basis') }} as regime_basis

    from numbered
    inner join grid as estimation_start
        on greatest(numbered.test_row - numbered.estimation, 0) = estimation_start.grid_row
    inner join grid as train_start on numbered.test_row - numbered.train = train_start.grid_row
    inner join grid as train_end on numbered.test_row - 1 = train_end.grid_row
    inner join grid as test_start on numbered.test_row = test_start.grid_row
    inner join grid as test_end on numbered.test_row + numbered.test - 1 = test_end.grid_row
    inner join grid as primary_end
        on numbered.test_row + least(numbered.test, numbered.step) - 1 = primary_end.grid_row

)

select * from final
order by window_set, window_index
