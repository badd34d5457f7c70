-- One row per symbol and session: the accepted bar, its dividend-adjusted close beside its price where both are known.
with accepted as (

    select *
    from {{ ref('bar_verdicts') }}
    where verdict = 'ACCEPTED'

),

-- a symbol may be landed both as a price and as a total-return series; the price series, where there is one, is the bar
merged as (

    select
        symbol,
        session_date,
        min(calendar_id) as calendar_id,
        min(session_number) as session_number,
        min(close_utc) as close_utc,
        arg_min(
            struct_pack(
                open := open, high := high, low := low, close := close, volume := volume,
                quote_volume := quote_volume, source := source, load_id := load_id, adjustment := adjustment,
                landed_symbol := landed_symbol
            ),
            case adjustment when 'splits' then 1 when 'none' then 2 else 3 end
        ) as bar,
        max(case when adjustment = 'total_return' then close end) as total_return_close,
        max(case when adjustment = 'total_return' then source end) as total_return_source,
        bool_or(is_late_revision) as is_late_revision
    from accepted
    group by symbol, session_date

),

final as (

    select
        -- keys
        symbol,
        session_date,

        -- prices
        bar.open as open,
        bar.high as high,
        bar.low as low,
        bar.close as close,
        bar.adjustment as close_adjustment,
        total_return_close,
        total_return_source,

        -- volumes
        bar.volume as volume,
        coalesce(bar.quote_volume, bar.volume * bar.close) as turnover,

        -- where it came from
        bar.source as source,
        bar.load_id as load_id,
        bar.landed_symbol as landed_symbol,
        is_late_revision,

        -- place and time
        calendar_id,
        session_number,
        close_utc as known_at_utc

    from merged

)

select * from final
order by symbol, session_date
