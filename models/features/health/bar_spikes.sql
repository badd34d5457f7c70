-- One row per symbol, session and code: a bar whose move is suspect, with the value that tripped the rule.
with returns as (

    select
        session_bars.symbol,
        session_bars.session_date,
        daily_returns.simple_return,
        session_bars.volume,
        daily_returns.symbol is null and row_number() over by_session > 1 as has_no_return,
        coalesce(session_bars.total_return_close, session_bars.close) as close,
        median(coalesce(session_bars.total_return_close, session_bars.close)) over earlier as median_close,
        avg(session_bars.volume) over earlier as mean_volume,
        stddev_samp(session_bars.volume) over earlier as deviation_volume,
        count(session_bars.volume) over earlier as volume_count
    from {{ ref('session_bars') }} as session_bars
    left join {{ ref('daily_returns') }} as daily_returns
        on session_bars.symbol = daily_returns.symbol and session_bars.session_date = daily_returns.session_date
    window
        by_session as (partition by session_bars.symbol order by session_bars.session_date),
        earlier as (
            partition by session_bars.symbol
            order by session_bars.session_date
            rows between 20 preceding and 1 preceding
        )

),

found as (

    select
        symbol,
        session_date,
        'TOXIC_RETURN' as code,
        simple_return as value
    from returns
    where abs(simple_return) > 5.0
    union all
    select
        symbol,
        session_date,
        'EXTREME' as code,
        simple_return as value
    from returns
    where abs(simple_return) > 1.0 and abs(simple_return) <= 5.0
    union all
    select
        symbol,
        session_date,
        'SUSPECT_DROP' as code,
        case when simple_return < -0.99 then simple_return else ln(close / median_close) end as value
    from returns
    where simple_return < -0.99 or abs(ln(close / median_close)) > ln(6)
    union all
    select
        symbol,
        session_date,
        'ADJUSTMENT_CHANGE' as code,
        cast(null as double) as value
    from returns
    where has_no_return
    union all
    select
        symbol,
        session_date,
        'VOLUME_SPIKE' as code,
        volume / mean_volume as value
    from returns
    where
        volume_count = 20
        and volume > case when deviation_volume > 0 then mean_volume + 10 * deviation_volume else 2 * mean_volume end

),

-- what landing kept out leaves no bar to look at; where both know of a move, landing knows the donor
suspected as (

    select
        coalesce(found.symbol, landed.symbol) as symbol,
        coalesce(found.session_date, landed.session_date) as session_date,
        coalesce(found.code, landed.code) as code,
        coalesce(found.value, landed.value) as value,
        landed.donor_symbol,
        found.symbol is null and landed.is_healed as is_healed
    from found
    full outer join {{ ref('landed_suspicions') }} as landed
        on found.symbol = landed.symbol and found.session_date = landed.session_date and found.code = landed.code

),

-- who resolves a move again means the later word
resolved as (

    select
        symbol,
        session_date,
        code,
        reason
    from {{ ref('stg_resolutions') }}
    qualify row_number() over (
        partition by symbol, session_date, code order by received_at_utc desc, load_id desc, row_number desc
    ) = 1

),

final as (

    select
        -- keys
        suspected.symbol,
        suspected.session_date,
        suspected.code,

        -- what was found
        suspected.value,
        suspected.donor_symbol,

        -- flags resolve by being harmless, bars kept out by a clean one; the others stay open until somebody has looked
        resolved.reason is not null
        or suspected.is_healed
        or suspected.code in ('EXTREME', 'VOLUME_SPIKE', 'ADJUSTMENT_CHANGE') as is_resolved,
        resolved.reason as resolution

    from suspected
    left join resolved
        on
            suspected.symbol = resolved.symbol
            and suspected.session_date = resolved.session_date
            and suspected.code = resolved.code

)

select * from final
order by symbol, session_date, code
