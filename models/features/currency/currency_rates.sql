-- One row per currency and session on which a pair of it with the dollar has an accepted bar: what a unit is worth.
with pairs as (

    select
        symbols.symbol,
        symbols.asset_class,
        symbols.base,
        symbols.quote,
        coalesce(exchanges.priority, 1000) as exchange_rank
    from {{ ref('symbols') }} as symbols
    left join {{ ref('seed_exchanges') }} as exchanges on split_part(symbols.symbol, ':', 1) = exchanges.exchange
    where
        symbols.valid_to is null
        and (
            (symbols.asset_class = 'forex' and 'USD' in (symbols.base, symbols.quote))
            or (symbols.asset_class = 'crypto' and symbols.venue_class = 'spot')
        )

),

dollars as (

    select asset
    from {{ ref('seed_asset_sets') }}
    where tag = 'STABLE'

),

-- money has a market against the dollar; a dollar coin is checked against the dollar or another such coin
quoted as (

    select
        symbol,
        exchange_rank,
        case when base = 'USD' then quote else base end as currency,
        base = 'USD' as is_inverse,
        false as is_coin
    from pairs
    where asset_class = 'forex'
    union all
    select
        pairs.symbol,
        pairs.exchange_rank,
        pairs.base as currency,
        false as is_inverse,
        true as is_coin
    from pairs
    inner join dollars as bases on pairs.base = bases.asset
    inner join dollars as quotes on pairs.quote = quotes.asset
    where pairs.asset_class = 'crypto' and pairs.base <> 'USD'

),

final as (

    select
        -- keys
        quoted.currency,
        bars.session_date,

        -- the rate, and where it was seen
        case when quoted.is_inverse then 1.0 / bars.close else bars.close end as rate,
        quoted.symbol as source_symbol,
        quoted.is_coin,
        quoted.is_coin and abs(bars.close - 1.0) > 0.02 as is_off_par,
        bars.known_at_utc

    from {{ ref('session_bars') }} as bars
    inner join quoted on bars.symbol = quoted.symbol
    qualify row_number() over (
        partition by quoted.currency, bars.session_date
        order by quoted.exchange_rank, quoted.symbol
    ) = 1

)

select * from final
order by currency, session_date
