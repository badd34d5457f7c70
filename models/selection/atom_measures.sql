-- One row per window and atom that a scored engine judges: its facts in its own direction, as known at the decision.
with windows as (

    select windows.*
    from {{ ref('windows') }} as windows
    inner join {{ current_unsealed_run() }} as current_run on windows.run_id = current_run.run_id

),

history as (

    select *
    from {{ ref('factor_history') }}
    where factor_set = 'daily_252'

),

moments as (

    select
        symbol,
        known_at_utc
    from history

),

-- what fell to the history floor or to toxic data is judged as well, so that the veto stands in the record
pool as (

    select
        candidates.run_id,
        candidates.window_set,
        candidates.window_index,
        candidates.atom_id,
        candidates.symbol,
        candidates.logic,
        candidates.direction,
        candidates.is_kept,
        candidates.drop_reason,
        candidates.return_count,
        windows.decision_date,
        windows.decision_close_utc,
        windows.step_count,
        windows.regime,
        windows.quadrant
    from {{ ref('candidates') }} as candidates
    inner join windows
        on
            candidates.run_id = windows.run_id
            and candidates.window_set = windows.window_set
            and candidates.window_index = windows.window_index
    where candidates.is_kept or candidates.drop_reason in ('TOXIC', 'SHORT_HISTORY')
    qualify row_number() over (
        partition by candidates.window_set, candidates.window_index, candidates.atom_id
        order by candidates.is_kept desc, candidates.scanner_id asc
    ) = 1

),

-- the newest row is found by its time alone and its facts are joined then: a wide as-of join sorts all of them
known as (

    select
        pool.*,
        moments.known_at_utc
    from pool
    asof left join moments
        on pool.symbol = moments.symbol and pool.decision_close_utc >= moments.known_at_utc

),

final as (

    select
        -- keys
        pool.run_id,
        pool.window_set,
        pool.window_index,
        pool.atom_id,

        -- the atom
        pool.symbol,
        pool.logic,
        pool.direction,
        coalesce(symbols.economic_id, pool.symbol) as identity,
        symbols.asset_class,
        coalesce(limits.tick_size, symbols.tick_size) as tick_size,
        limits.lot_size,
        coalesce(limits.price_precision, symbols.price_precision) as price_precision,
        pool.is_kept,
        pool.drop_reason,
        pool.return_count,
        benchmarks.item is not null as is_benchmark,

        -- the decision
        pool.decision_date,
        pool.step_count,
        pool.regime,
        pool.quadrant,

        -- facts whose sign is that of the direction
        case pool.direction when 'LONG' then history.momentum else history.momentum_short end as momentum,
        case pool.direction when 'LONG' then history.compounded_60 else history.compounded_60_short end
            as compounded_60,
        case pool.direction when 'LONG' then history.skew else history.skew_short end as skew,
        case pool.direction when 'LONG' then history.cvar else history.cvar_short end as cvar,
        case pool.direction when 'LONG' then history.tail_gain else history.tail_gain_short end as tail_gain,

        -- facts without a direction
        history.volatility_annual,
        history.efficiency,
        history.entropy,
        history.hurst,
        history.excess_kurtosis,
        history.adx,
        history.roc,
        history.average_daily_value,
        history.spread,
        history.largest_absolute_return,
        history.equal_close_count,
        history.absolute_autocorrelation,
        history.ljung_box_p,
        history.gap_fraction,
        history.survival,
        coalesce(history.observation_count, 0) as observation_count,
        coalesce(spikes.symbol is not null, false) as has_volume_spike

    from known as pool
    left join history on pool.symbol = history.symbol and pool.known_at_utc = history.known_at_utc
    left join {{ ref('symbols') }} as symbols
        on
            pool.symbol = symbols.symbol
            and pool.decision_close_utc >= symbols.valid_from
            and (symbols.valid_to is null or pool.decision_close_utc < symbols.valid_to)
    -- what a venue itself stated; defaults are the profile's matter
    left join {{ ref('execution_limits') }} as limits
        on
            pool.symbol = limits.symbol
            and limits.source = 'exchange'
            and pool.decision_close_utc >= limits.valid_from
            and (limits.valid_to is null or pool.decision_close_utc < limits.valid_to)
    left join {{ ref('bar_spikes') }} as spikes
        on
            pool.symbol = spikes.symbol
            and pool.decision_date = spikes.session_date
            and spikes.code = 'VOLUME_SPIKE'
    left join {{ setting_list('benchmarks') }} as benchmarks on pool.symbol = benchmarks.item

)

select * from final
order by window_set, window_index, atom_id
