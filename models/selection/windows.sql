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

scanners as (

    select
        item ->> 'scanner_id' as scanner_id,
        item ->> 'config_hash' as config_hash
    from {{ setting_list('universe.scanners') }}

),

-- nobody knows whom a market listed before it was scanned first: NULL where the universe is a list or of today
discovered as (

    select min(candidates.scanned_at_utc) as first_candidate_utc
    from {{ ref('scan_candidates') }} as candidates
    inner join scanners
        on candidates.scanner_id = scanners.scanner_id and candidates.config_hash = scanners.config_hash
    where
        candidates.is_kept
        and {{ setting('universe.basis') }} = 'pit'
        and not exists (select 1 from {{ setting_list('universe.symbols') }})

),

decided as (

    select
        starts.*,
        decision.session_date as decision_date,
        decision.close_utc as decision_close_utc
    from starts
    inner join grid as decision on starts.test_row - 1 = decision.grid_row

),

opened as (

    select
        decided.window_set,
        case
            when max(decided.decision_close_utc) < any_value(discovered.first_candidate_utc)
                then error(
                    'no_candidates_in_time: universe.basis is pit, and nobody is known to have been a candidate before '
                    || strftime(any_value(discovered.first_candidate_utc), '%Y-%m-%d %H:%M') || ', but the last '
                    || 'decision of window set ' || decided.window_set || ' is that of ' || max(decided.decision_date)
                    || '; replay scans of earlier days (''python -m ingest scan --from --to'', where the sources '
                    || 'answer for the past), build when ' || any_value(decided.test) || ' sessions have followed a '
                    || 'scan, or set universe.basis to static, which no promotion accepts'
                )
            else coalesce(any_value(discovered.first_candidate_utc), timestamp '-infinity')
        end as first_decision_utc
    from decided
    cross join discovered
    group by decided.window_set

),

numbered as (

    select
        decided.*,
        row_number() over (partition by decided.window_set order by decided.test_row) - 1 as window_index,
        {{ setting('regime.basis') }} as regime_basis,
        {{ setting('regime.asset_class') }} as regime_class
    from decided
    inner join opened
        on decided.window_set = opened.window_set and decided.decision_close_utc >= opened.first_decision_utc

),

regimes as (

    select *
    from {{ ref('market_regimes') }}
    where asset_class = {{ setting('regime.asset_class') }}

),

-- the newest regime that was known at the decision close
observed as (

    select
        numbered.window_set,
        numbered.window_index,
        numbered.regime_basis,
        case
            when {{ setting('regime.thresholds') }} = 'quantile' then regimes.quantile_label
            else regimes.label
        end as label,
        regimes.score,
        regimes.quadrant,
        regimes.session_date as regime_date,
        regimes.tuned_to_date,
        case
            when numbered.regime_basis = 'measured' and coalesce(regimes.observation_count, 0) <= 60
                then error(
                    'unmeasured_regime: regime.basis is measured, but features.market_regimes rests on '
                    || coalesce(regimes.observation_count, 0) || ' sessions of asset class ' || numbered.regime_class
                    || ' at the decision of ' || numbered.decision_date || ', and more than 60 are needed; land more'
                    || ' history of at least five symbols of that class, choose another regime.asset_class, or set'
                    || ' regime.basis to declared and regime.label'
                )
            else true
        end as is_measured
    from numbered
    asof left join regimes on numbered.decision_close_utc >= regimes.known_at_utc

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
        numbered.decision_date,
        numbered.decision_close_utc,

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
        case observed.regime_basis when 'measured' then observed.label else {{ setting('regime.label') }} end as regime,
        case observed.regime_basis when 'measured' then observed.score end as regime_score,
        case observed.regime_basis when 'measured' then observed.quadrant end as quadrant,
        case observed.regime_basis when 'measured' then observed.regime_date end as regime_date,
        observed.regime_basis,
        observed.regime_basis = 'measured'
        and coalesce(numbered.decision_date <= observed.tuned_to_date, false) as is_regime_in_sample

    from numbered
    inner join observed
        on
            numbered.window_set = observed.window_set
            and numbered.window_index = observed.window_index
            and observed.is_measured
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
