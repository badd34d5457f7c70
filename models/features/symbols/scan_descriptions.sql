-- One row per symbol and change of what scans call it, up to its first metadata record: what a scan says that it is.
with records as (

    select
        symbol,
        received_at_utc,
        struct_pack(
            region := region, subclass := subclass, calendar_id := calendar_id, tick_size := tick_size,
            industry := industry, country := country, root := root, expiration := expiration, sector := sector,
            timezone := timezone, session := session, pricescale := pricescale, minmov := minmov,
            minmove2 := minmove2, is_fractional := is_fractional, contract_multiplier := contract_multiplier
        ) as facts
    from {{ ref('stg_symbols') }}
    qualify row_number() over (partition by symbol order by received_at_utc, load_id, row_number) = 1

),

-- whoever was described is what his description says: a scan speaks where nobody had spoken yet
said as (

    select
        rows.load_id,
        rows.row_number,
        rows.symbol,
        rows.type,
        rows.subtype,
        rows.description,
        rows.base,
        rows.quote,
        rows.scanned_at_utc,
        struct_pack(
            kind := rows.type, finer := rows.subtype, words := rows.description, base := rows.base, quote := rows.quote
        ) as statement,
        records.facts
    from {{ ref('scan_rows') }} as rows
    left join records on rows.symbol = records.symbol
    where rows.type is not null and (records.symbol is null or rows.scanned_at_utc < records.received_at_utc)

),

changed as (

    select *
    from said
    qualify
        lag(statement) over (
            partition by symbol order by scanned_at_utc, load_id, row_number
        ) is distinct from statement

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol,

        -- what it is
        type,
        subtype,
        description,
        base,
        quote,

        -- what no scan says is what the first record said, which reaches back as the first version of any symbol does
        facts.region as region,
        facts.subclass as subclass,
        facts.calendar_id as calendar_id,
        facts.tick_size as tick_size,
        facts.industry as industry,
        facts.country as country,
        facts.root as root,
        facts.expiration as expiration,
        facts.sector as sector,
        facts.timezone as timezone,
        facts.session as session,
        facts.pricescale as pricescale,
        facts.minmov as minmov,
        facts.minmove2 as minmove2,
        facts.is_fractional as is_fractional,
        facts.contract_multiplier as contract_multiplier,

        -- times
        scanned_at_utc as received_at_utc

    from changed

)

select * from final
