-- One row per symbol of the profile: digests of the accepted bars, metadata and resolutions that a run can see.
with symbols as (

    select item as symbol from {{ setting_list('universe.symbols') }}
    union
    select item as symbol from {{ setting_list('universe.landed_only') }}
    union
    select item as symbol from {{ setting_list('benchmarks') }}

),

bars as (

    select
        symbol,
        count(*) as bar_count,
        sha256(string_agg(
            concat_ws(
                '|', session_date, coalesce(cast(open as varchar), '-'), coalesce(cast(high as varchar), '-'),
                coalesce(cast(low as varchar), '-'), close, coalesce(cast(total_return_close as varchar), '-'),
                coalesce(cast(volume as varchar), '-'), coalesce(cast(turnover as varchar), '-')
            ),
            chr(10) order by session_date
        )) as bars_hash
    from {{ ref('session_bars') }}
    where known_at_utc <= {{ setting('as_of', 'timestamptz') }} at time zone 'UTC'
    group by symbol

),

metadata as (

    select
        symbol,
        calendar_id,
        sha256(to_json(struct_pack(
            asset_class := asset_class, asset_type := asset_type, region := region, subclass := subclass,
            venue_class := venue_class, base := base, quote := quote, economic_id := economic_id, sector := sector,
            calendar_id := calendar_id, timezone := timezone, tick_size := tick_size
        ))) as metadata_hash
    from {{ ref('symbols') }}
    where valid_to is null

),

-- a resolution changes verdicts, and so what is selected
resolutions as (

    select
        symbol,
        sha256(string_agg(concat_ws('|', session_date, code, resolution), chr(10) order by session_date, code))
            as resolutions_hash
    from {{ ref('bar_spikes') }}
    where resolution is not null
    group by symbol

),

final as (

    select
        symbols.symbol,
        coalesce(bars.bar_count, 0) as bar_count,
        metadata.calendar_id,
        bars.bars_hash,
        metadata.metadata_hash,
        resolutions.resolutions_hash
    from symbols
    left join bars on symbols.symbol = bars.symbol
    left join metadata on symbols.symbol = metadata.symbol
    left join resolutions on symbols.symbol = resolutions.symbol

)

select * from final
order by symbol
