-- One row per window and atom whose data passed: its raw factors and its fragility among the atoms of its window.
-- A factor is unknown where what it is made of is: least() and greatest() pass a NULL by, hence the conditions.
with passed as (

    select measures.*
    from {{ ref('atom_measures') }} as measures
    where
        measures.is_kept
        and not exists (
            select 1
            from {{ ref('atom_checks') }} as checks
            where
                measures.window_set = checks.window_set
                and measures.window_index = checks.window_index
                and measures.atom_id = checks.atom_id
                and checks.is_data_check
                and checks.is_fired
        )

),

-- one atom, or atoms that are all equal, stand in the middle
scaled as (

    select
        *,
        case
            when skew is null then null
            when max(skew) over pool > min(skew) over pool
                then (skew - min(skew) over pool) / (max(skew) over pool - min(skew) over pool)
            else 0.5
        end as skew_scaled,
        case
            when tail_gain is null then null
            when max(tail_gain) over pool > min(tail_gain) over pool
                then (tail_gain - min(tail_gain) over pool) / (max(tail_gain) over pool - min(tail_gain) over pool)
            else 0.5
        end as tail_gain_scaled
    from passed
    window pool as (partition by window_set, window_index)

),

convex as (

    select
        *,
        (skew_scaled + tail_gain_scaled) * least(1.0, observation_count / 252.0) as antifragility
    from scaled

),

-- what is not known counts as fragile: a missing fact is no advantage
judged as (

    select
        *,
        1 - coalesce(antifragility / nullif(max(antifragility) over pool, 0), 0)
        + coalesce(abs(cvar) / nullif(max(abs(cvar)) over pool, 0), case when cvar is null then 1.0 else 0.0 end)
        + 2 * (1 - coalesce(survival, 0))
        + 5 * coalesce(gap_fraction, 0) as fragility
    from convex
    window pool as (partition by window_set, window_index)

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        atom_id,

        -- the atom
        symbol,
        logic,
        direction,
        identity,
        regime,
        quadrant,
        average_daily_value,
        observation_count,
        absolute_autocorrelation,
        hurst,
        compounded_60,

        -- raw factors
        momentum,
        1 / (volatility_annual + 1e-9) as stability,
        case
            when {{ setting('bars.volume') }} = 'present' and average_daily_value is not null
                then least(1.0, average_daily_value / {{ setting('selection.liquidity_base', 'double') }})
        end as liquidity,
        antifragility,
        survival,
        efficiency,
        entropy,
        case
            when hurst is null then null
            when {{ setting('selection.strategy') }} = 'trend_following'
                then least(1.0, greatest(0.0, 2 * (hurst - 0.5)))
            when {{ setting('selection.strategy') }} = 'mean_reversion'
                then least(1.0, greatest(0.0, 2 * (0.5 - hurst)))
        end as hurst_clean,
        case when {{ setting('bars.volume') }} = 'present' then adx end as adx,
        case when skew is not null then greatest(0.0, -skew) end as downside_skew,
        excess_kurtosis as kurtosis,
        cvar,

        -- fragility and what it costs: at most half of the score
        fragility,
        coalesce(0.5 * fragility / nullif(max(fragility) over (partition by window_set, window_index), 0), 0.0)
            as penalty

    from judged

)

select * from final
order by window_set, window_index, atom_id
