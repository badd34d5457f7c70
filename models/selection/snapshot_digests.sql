-- One row per symbol of the profile: digests of its bars, metadata, resolutions, limits and scans that a run can see.
with scanners as (

    select
        item ->> 'scanner_id' as scanner_id,
        item ->> 'config_hash' as config_hash
    from {{ setting_list('universe.scanners') }}

),

-- candidates of the scans that the run can see; without them a run would not know that its market changed
scanned as (

    select
        candidates.symbol,
        sha256(string_agg(
            concat_ws(
                '|', candidates.scanner_id, candidates.scanned_at_utc, candidates.rank,
                coalesce(cast(candidates.vt_rep as varchar), '-'), candidates.passes, candidates.identity_group
            ),
            chr(10) order by candidates.scanner_id, candidates.scanned_at_utc, candidates.load_id
        )) as scans_hash
    from {{ ref('scan_candidates') }} as candidates
    inner join scanners
        on candidates.scanner_id = scanners.scanner_id and candidates.config_hash = scanners.config_hash
    where
        candidates.is_kept
        and (
            {{ setting('universe.basis') }} = 'static'
            or candidates.scanned_at_utc <= {{ setting('as_of', 'timestamptz') }} at time zone 'UTC'
        )
    group by candidates.symbol

),

symbols as (

    select item as symbol from {{ setting_list('universe.symbols') }}
    union
    select item as symbol from {{ setting_list('universe.landed_only') }}
    union
    select item as symbol from {{ setting_list('benchmarks') }}
    union
    select item as symbol from {{ setting_list('universe.anchor_symbols') }}
    union
    select symbol from scanned

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
            calendar_id := calendar_id, timezone := timezone, tick_size := tick_size,
            price_precision := price_precision, is_active := is_active
        ))) as metadata_hash
    from {{ ref('symbols') }}
    where valid_to is null

),

-- a resolution changes verdicts, and so what is selected; so does a bar that was kept out and never made good
resolutions as (

    select
        symbol,
        sha256(string_agg(
            concat_ws('|', session_date, code, coalesce(resolution, '-')), chr(10) order by session_date, code
        )) as resolutions_hash
    from {{ ref('bar_spikes') }}
    where
        resolution is not null
        or (
            not is_resolved
            and session_date <= cast({{ setting('as_of', 'timestamptz') }} at time zone 'UTC' as date)
        )
    group by symbol

),

-- what a venue states of its limits changes vetoes
limits as (

    select
        symbol,
        sha256(string_agg(
            concat_ws(
                '|', valid_from, coalesce(cast(tick_size as varchar), '-'), coalesce(cast(lot_size as varchar), '-'),
                coalesce(cast(price_precision as varchar), '-')
            ),
            chr(10) order by valid_from
        )) as limits_hash
    from {{ ref('execution_limits') }}
    where source = 'exchange' and valid_from <= {{ setting('as_of', 'timestamptz') }} at time zone 'UTC'
    group by symbol

),

final as (

    select
        symbols.symbol,
        coalesce(bars.bar_count, 0) as bar_count,
        metadata.calendar_id,
        bars.bars_hash,
        metadata.metadata_hash,
        resolutions.resolutions_hash,
        limits.limits_hash,
        scanned.scans_hash
    from symbols
    left join bars on symbols.symbol = bars.symbol
    left join metadata on symbols.symbol = metadata.symbol
    left join resolutions on symbols.symbol = resolutions.symbol
    left join limits on symbols.symbol = limits.symbol
    left join scanned on symbols.symbol = scanned.symbol

)

select * from final
order by symbol
