-- One row per landed metadata record of a symbol, and per word of a scan before it: its fields in one vocabulary.
with statements as (

    select
        *,
        'metadata' as metadata_source
    from {{ ref('stg_symbols') }}
    union all by name
    select
        *,
        'scan' as metadata_source
    from {{ ref('scan_descriptions') }}

),

records as (

    select
        *,
        coalesce(type, asset_type, '') as stated_type,
        coalesce(base, '') as stated_base,
        coalesce(quote, '') as stated_quote
    from statements

),

zones as (

    select name
    from pg_timezone_names()

),

placed as (

    select
        records.*,
        names.exchange,
        names.venue_class as named_venue_class,
        names.base as named_base,
        names.quote as named_quote,
        names.unit_multiplier,
        names.root as named_root,
        names.economic_id as named_economic_id,
        coalesce(records.asset_class, names.asset_class) as known_class,
        case coalesce(records.asset_class, '')
            when '' then names.profile
            when 'crypto' then 'CRYPTO'
            when 'forex' then 'FOREX'
            when 'futures' then 'FUTURES'
            else 'EQUITY'
        end as profile,
        coalesce(exchanges.country, records.country) as known_country,
        coalesce(records.region, exchanges.region) as known_region,
        exchanges.calendar_id as default_calendar_id,
        exchanges.timezone as default_timezone,
        zones.name as valid_timezone
    from records
    inner join {{ ref('symbol_names') }} as names
        on
            records.symbol = names.symbol
            and records.stated_type = names.stated_type
            and records.stated_base = names.stated_base
            and records.stated_quote = names.stated_quote
    left join {{ ref('seed_exchanges') }} as exchanges on names.exchange = exchanges.exchange
    left join zones on records.timezone = zones.name
    -- a scan that leaves a ticker in doubt says no more than the ticker
    where records.metadata_source = 'metadata' or not names.is_ambiguous

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol,

        -- what it is
        exchange,
        profile,
        known_class as asset_class,
        coalesce(asset_type, type) as asset_type,
        subtype,
        description,
        known_region as region,
        known_country as country,
        subclass,
        coalesce(venue_class, named_venue_class) as venue_class,
        sector,
        industry,

        -- what it is the price of
        named_base as base,
        named_quote as quote,
        unit_multiplier,
        coalesce(root, named_root) as root,
        case
            when length(cast(expiration as varchar)) = 8
                then cast(try_strptime(cast(expiration as varchar), '%Y%m%d') as date)
        end as expiration_date,
        coalesce(
            economic_id,
            case profile
                when 'EQUITY' then split_part(symbol, ':', 2) || '.' || known_country
                else named_economic_id
            end
        ) as economic_id,

        -- when it trades: crypto never closes, and nobody gets the calendar of another market for want of one
        case
            when calendar_id is not null then calendar_id
            when profile = 'CRYPTO' then '24/7'
            else default_calendar_id
        end as calendar_id,
        case
            when valid_timezone in ('Etc/UTC', 'Etc/GMT', 'GMT', 'UTC') then 'UTC'
            else coalesce(valid_timezone, case when profile = 'CRYPTO' then 'UTC' else default_timezone end, 'UTC')
        end as timezone,
        case
            when profile = 'CRYPTO' then '24x7'
            when session <> '24x7' then session
            when profile = 'FOREX' then '1700-1700'
            when profile = 'EQUITY' and known_country = 'US' then '0930-1600'
            else 'Unknown'
        end as session,

        -- how it trades; a venue states its tick as minmov / pricescale
        pricescale,
        minmov,
        minmove2,
        is_fractional,
        coalesce(tick_size, case when pricescale > 0 then minmov / pricescale end) as tick_size,
        case
            when pricescale > 0 and log10(pricescale) = round(log10(pricescale))
                then cast(round(log10(pricescale)) as integer)
        end as price_precision,
        contract_multiplier,
        is_active,

        -- who says so, and when
        metadata_source,
        received_at_utc

    from placed

)

select * from final
