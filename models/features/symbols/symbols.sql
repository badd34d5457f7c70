-- One row per symbol and validity interval: its metadata as known then (slowly changing, type 2).
with descriptions as (

    select
        symbol,
        received_at_utc as observed_at_utc,
        load_id,
        row_number,
        metadata_source,
        is_active,
        struct_pack(
            exchange := exchange, profile := profile, asset_class := asset_class, asset_type := asset_type,
            subtype := subtype, description := description, region := region, country := country, subclass := subclass,
            venue_class := venue_class, sector := sector, industry := industry, base := base, quote := quote,
            unit_multiplier := unit_multiplier, root := root, expiration_date := expiration_date,
            economic_id := economic_id, calendar_id := calendar_id, timezone := timezone, session := session,
            pricescale := pricescale, minmov := minmov, minmove2 := minmove2, is_fractional := is_fractional,
            tick_size := tick_size, price_precision := price_precision, contract_multiplier := contract_multiplier
        ) as facts
    from {{ ref('symbol_descriptions') }}
    -- bars without a calendar belong to no session; work.symbol_descriptions keeps the record
    where calendar_id is not null and asset_class <> 'unknown'

),

-- who stopped trading says so in another place than his description
words as (

    select
        symbol,
        observed_at_utc,
        load_id,
        row_number,
        metadata_source,
        is_active,
        facts
    from descriptions
    union all
    select
        symbol,
        received_at_utc as observed_at_utc,
        load_id,
        row_number,
        null as metadata_source,
        status = 'TRADING' as is_active,
        null as facts
    from {{ ref('stg_execution_limits') }}
    where status is not null
    union all
    select
        symbol,
        since_utc as observed_at_utc,
        '~registry' as load_id,
        place as row_number,
        null as metadata_source,
        is_listed as is_active,
        null as facts
    from {{ ref('stg_symbol_listings') }}

),

-- each word holds until the next on the same matter
filled as (

    select
        symbol,
        observed_at_utc,
        load_id,
        row_number,
        last_value(metadata_source ignore nulls) over so_far as metadata_source,
        last_value(facts ignore nulls) over so_far as facts,
        coalesce(last_value(is_active ignore nulls) over so_far, true) as is_active
    from words
    window so_far as (
        partition by symbol order by observed_at_utc, load_id, row_number
        rows between unbounded preceding and current row
    )

),

-- of words of one instant the last one holds
settled as (

    select *
    from filled
    where facts is not null
    qualify row_number() over (
        partition by symbol, observed_at_utc order by load_id desc, row_number desc
    ) = 1

),

marked as (

    select
        *,
        cast(
            lag(facts) over by_symbol is distinct from facts
            or lag(is_active) over by_symbol is distinct from is_active
            as integer
        ) as is_change
    from settled
    window by_symbol as (partition by symbol order by observed_at_utc)

),

numbered as (

    select
        *,
        sum(is_change) over (partition by symbol order by observed_at_utc) as version
    from marked

),

-- a record that says what a scan had said before is what describes the symbol
changes as (

    select
        symbol,
        version,
        any_value(facts) as facts,
        any_value(is_active) as is_active,
        min(observed_at_utc) as observed_at_utc,
        case when bool_or(metadata_source = 'metadata') then 'metadata' else 'scan' end as metadata_source,
        arg_min(load_id, (metadata_source = 'scan', observed_at_utc)) as load_id
    from numbered
    group by symbol, version

),

own_bars as (

    select
        symbol,
        min(opened_at_utc) as opened_at_utc
    from {{ ref('stg_bars') }}
    group by symbol

),

-- a renamed symbol begins with the first bar under its earlier name
first_bars as (

    select
        own_bars.symbol,
        least(own_bars.opened_at_utc, min(earlier.opened_at_utc)) as opened_at_utc
    from own_bars
    left join {{ ref('symbol_origins') }} as origins on own_bars.symbol = origins.symbol
    left join own_bars as earlier on origins.origin_symbol = earlier.symbol
    group by own_bars.symbol, own_bars.opened_at_utc

),

intervals as (

    select
        changes.*,
        first_bars.opened_at_utc as genesis_utc,
        lead(changes.observed_at_utc) over (partition by changes.symbol order by changes.observed_at_utc) as valid_to,
        least(first_bars.opened_at_utc, changes.observed_at_utc) as first_known_utc
    from changes
    left join first_bars on changes.symbol = first_bars.symbol

),

final as (

    select
        -- keys
        symbol,

        -- what it is
        facts.exchange as exchange,
        facts.profile as profile,
        facts.asset_class as asset_class,
        facts.asset_type as asset_type,
        facts.subtype as subtype,
        facts.description as description,
        facts.region as region,
        facts.country as country,
        facts.subclass as subclass,
        facts.venue_class as venue_class,
        facts.base as base,
        facts.quote as quote,
        facts.unit_multiplier as unit_multiplier,
        facts.root as root,
        facts.expiration_date as expiration_date,
        facts.economic_id as economic_id,
        facts.calendar_id as calendar_id,
        facts.timezone as timezone,
        facts.session as session,
        facts.sector as sector,
        facts.industry as industry,

        -- how it trades
        facts.pricescale as pricescale,
        facts.minmov as minmov,
        facts.minmove2 as minmove2,
        facts.is_fractional as is_fractional,
        facts.tick_size as tick_size,
        facts.price_precision as price_precision,
        facts.contract_multiplier as contract_multiplier,
        is_active,
        genesis_utc,

        -- validity: the first version reaches back to the first bar, so that history joins resolve
        case when version = 1 then first_known_utc else observed_at_utc end as valid_from,
        valid_to,
        version = 1 and first_known_utc < observed_at_utc as is_backfilled,

        -- who says so
        metadata_source,
        load_id

    from intervals

)

select * from final
