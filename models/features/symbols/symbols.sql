-- One row per symbol and validity interval: its metadata as known then (slowly changing, type 2).
with records as (

    select
        *,
        md5(to_json(struct_pack(
            asset_class := asset_class, asset_type := asset_type, region := region, subclass := subclass,
            venue_class := venue_class, base := base, quote := quote, economic_id := economic_id, sector := sector,
            calendar_id := calendar_id, timezone := timezone, tick_size := tick_size
        ))) as content
    from {{ ref('stg_symbols') }}

),

changes as (

    select *
    from records
    qualify content is distinct from lag(content) over (
        partition by symbol order by received_at_utc, load_id, row_number
    )

),

first_bars as (

    select
        symbol,
        min(opened_at_utc) as opened_at_utc
    from {{ ref('stg_bars') }}
    group by symbol

),

intervals as (

    select
        changes.*,
        row_number() over (partition by changes.symbol order by changes.received_at_utc, changes.load_id) as version,
        lead(changes.received_at_utc) over (
            partition by changes.symbol order by changes.received_at_utc, changes.load_id
        ) as valid_to,
        least(first_bars.opened_at_utc, changes.received_at_utc) as first_known_utc
    from changes
    left join first_bars on changes.symbol = first_bars.symbol

),

final as (

    select
        -- keys
        symbol,

        -- what it is
        asset_class,
        asset_type,
        region,
        subclass,
        venue_class,
        base,
        quote,
        economic_id,
        calendar_id,
        timezone,
        sector,
        tick_size,

        -- validity: the first version reaches back to the first bar, so that history joins resolve
        case when version = 1 then first_known_utc else received_at_utc end as valid_from,
        valid_to,
        version = 1 and first_known_utc < received_at_utc as is_backfilled

    from intervals

)

select * from final
