-- One row per symbol and validity interval: its trading limits as the venue stated them, or a flagged default.
with symbols as (

    select
        symbol,
        exchange as venue,
        case
            when venue_class = 'forex' and quote = 'JPY' then 'forex_jpy'
            -- an index is not traded
            when asset_class <> 'index' then venue_class
        end as kind,
        genesis_utc,
        min(valid_from) over (partition by symbol) as first_known_utc
    from {{ ref('symbols') }}
    where valid_to is null

),

answers as (

    select
        symbol,
        received_at_utc,
        load_id,
        row_number,
        tick_size,
        lot_size,
        step_size,
        min_notional,
        contract_size,
        price_precision,
        struct_pack(
            tick := tick_size, lot := lot_size, step := step_size, notional := min_notional, size := contract_size,
            places := price_precision
        ) as limits
    from {{ ref('stg_execution_limits') }}
    -- the last answer of one instant, and only one that states a limit: a halted symbol keeps those it had
    where tick_size is not null or lot_size is not null
    qualify row_number() over (
        partition by symbol, received_at_utc order by load_id desc, row_number desc
    ) = 1

),

marked as (

    select
        *,
        cast(
            lag(limits) over (partition by symbol order by received_at_utc) is distinct from limits as integer
        ) as is_change
    from answers

),

versions as (

    select
        *,
        sum(is_change) over (partition by symbol order by received_at_utc) as version
    from marked

),

intervals as (

    select
        symbol,
        version,
        any_value(limits) as limits,
        min(received_at_utc) as first_observed_utc,
        max(received_at_utc) as last_observed_utc
    from versions
    group by symbol, version

),

stated as (

    select
        intervals.*,
        lead(first_observed_utc) over (partition by symbol order by version) as valid_to
    from intervals

),

final as (

    select
        -- keys
        stated.symbol,
        split_part(stated.symbol, ':', 1) as venue,

        -- limits
        stated.limits.tick as tick_size,
        stated.limits.lot as lot_size,
        stated.limits.step as step_size,
        stated.limits.notional as min_notional,
        stated.limits.size as contract_size,
        stated.limits.places as price_precision,

        -- no public answer of a venue has fees
        defaults.maker_fee,
        defaults.taker_fee,

        -- who says so
        'exchange' as source,
        stated.last_observed_utc as observed_at_utc,

        -- validity: the first version reaches back to the first bar
        case
            when stated.version = 1 then least(symbols.genesis_utc, symbols.first_known_utc, stated.first_observed_utc)
            else stated.first_observed_utc
        end as valid_from,
        stated.valid_to
    from stated
    -- a venue answers for all it lists; who was never described has no row here
    inner join symbols on stated.symbol = symbols.symbol
    left join {{ ref('seed_execution_defaults') }} as defaults on symbols.kind = defaults.kind
    union all
    select
        symbols.symbol,
        symbols.venue,
        defaults.tick_size,
        defaults.lot_size,
        defaults.step_size,
        defaults.min_notional,
        null as contract_size,
        cast(round(-log10(defaults.tick_size)) as integer) as price_precision,
        defaults.maker_fee,
        defaults.taker_fee,
        'default' as source,
        null as observed_at_utc,
        symbols.first_known_utc as valid_from,
        null as valid_to
    from symbols
    inner join {{ ref('seed_execution_defaults') }} as defaults on symbols.kind = defaults.kind
    where symbols.symbol not in (
        select answers.symbol
        from answers
    )

)

select * from final
order by symbol, valid_from
