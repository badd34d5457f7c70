-- One row per landed answer of a venue about the trading limits of a symbol: its filters, named and typed.
with source as (

    select * from {{ source('raw', 'execution_limits') }}

),

-- a venue lists its limits as filters, each with a type and fields of its own
listed as (

    select
        *,
        from_json(payload -> 'filters', '[{
            "filterType": "VARCHAR", "tickSize": "VARCHAR", "minQty": "VARCHAR", "stepSize": "VARCHAR",
            "minNotional": "VARCHAR", "notional": "VARCHAR"
        }]') as filters
    from source

),

filtered as (

    select
        *,
        list_filter(filters, one -> one.filtertype = 'PRICE_FILTER')[1].ticksize as tick_text,
        list_filter(filters, one -> one.filtertype = 'LOT_SIZE')[1] as lot,
        -- spot states the least order as minNotional of NOTIONAL or MIN_NOTIONAL, perpetuals as notional of the latter
        list_filter(filters, one -> one.filtertype = 'NOTIONAL')[1].minnotional as notional_text,
        list_filter(filters, one -> one.filtertype = 'MIN_NOTIONAL')[1] as least
    from listed

),

final as (

    select
        -- keys
        load_id,
        row_number,
        symbol,

        -- limits
        try_cast(tick_text as double) as tick_size,
        try_cast(lot.minqty as double) as lot_size,
        try_cast(lot.stepsize as double) as step_size,
        try_cast(coalesce(notional_text, least.minnotional, least.notional) as double) as min_notional,
        try_cast(payload ->> 'contractSize' as double) as contract_size,

        -- decimals of a price: those of the tick, which may be fewer than the venue prints
        case
            when try_cast(tick_text as double) > 0
                then cast(length(rtrim(split_part(tick_text, '.', 2), '0')) as integer)
        end as price_precision,

        -- what it is
        nullif(payload ->> 'baseAsset', '') as base,
        nullif(payload ->> 'quoteAsset', '') as quote,
        nullif(payload ->> 'marginAsset', '') as margin_asset,
        nullif(payload ->> 'contractType', '') as contract_type,
        coalesce(payload ->> 'status', payload ->> 'contractStatus') as status,
        coalesce(contains(payload ->> 'permissions', 'LEVERAGED'), false) as is_leveraged,

        -- times
        received_at_utc

    from filtered

)

select * from final
