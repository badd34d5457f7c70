-- One row per symbol and what was stated of it: the base, quote and exposure that its metadata or its ticker name.
with recursive

stated as (

    select distinct
        symbol,
        coalesce(type, asset_type, '') as stated_type,
        coalesce(base, '') as stated_base,
        coalesce(quote, '') as stated_quote
    from {{ ref('stg_symbols') }}
    union
    select distinct
        symbol,
        coalesce(type, '') as stated_type,
        coalesce(base, '') as stated_base,
        coalesce(quote, '') as stated_quote
    from {{ ref('scan_rows') }}
    -- a list names symbols that no answer may ever describe
    union
    select
        unnest(list_concat(listed_symbols, ensured_symbols)) as symbol,
        '' as stated_type,
        '' as stated_base,
        '' as stated_quote
    from {{ ref('stg_scanner_configs') }}

),

placed as (

    select
        stated.*,
        split_part(stated.symbol, ':', 1) as exchange,
        split_part(stated.symbol, ':', 2) as ticker,
        exchanges.country,
        case
            when stated.stated_type in ('spot', 'swap', 'crypto') then 'CRYPTO'
            when stated.stated_type in ('stock', 'fund', 'dr', 'index') then 'EQUITY'
            -- a dated contract of a crypto venue keeps that venue's hours
            when stated.stated_type = 'futures' and exchanges.asset_class = 'crypto' then 'CRYPTO'
            when stated.stated_type in ('futures', 'commodity') then 'FUTURES'
            when stated.stated_type = 'forex' then 'FOREX'
            else coalesce(upper(exchanges.asset_class), 'UNKNOWN')
        end as profile
    from stated
    left join {{ ref('seed_exchanges') }} as exchanges on split_part(stated.symbol, ':', 1) = exchanges.exchange

),

classed as (

    select
        *,
        case
            when stated_type = 'cfd' then 'cfd'
            when profile = 'CRYPTO'
                then case
                    when stated_type = 'swap' or regexp_matches(ticker, '(\.P|-SWAP)$') then 'perp'
                    when stated_type = 'futures' or regexp_matches(ticker, '(\.F|_\d{6})$') then 'dated'
                    else 'spot'
                end
            when profile = 'EQUITY' then 'listed'
            else lower(profile)
        end as venue_class,
        -- an expiry is stripped from what is known to expire alone: BTCUSDH25 is a contract, C98USDT is a coin
        case
            when stated_type = 'futures'
                then regexp_replace(
                    regexp_replace(ticker, '(\.P|\.F|-SWAP|-SPOT)$', ''),
                    '[-_]?([FGHJKMNQUVXZ](20)?\d{2}|\d{6}'
                    || '|\d{1,2}(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d{2,4})$',
                    ''
                )
            else regexp_replace(ticker, '(\.P|\.F|-SWAP|-SPOT)$', '')
        end as core
    from placed

),

unnamed as (

    select distinct core
    from classed
    where profile = 'CRYPTO' and stated_base = ''

),

-- every way to read a ticker as base and quote; a remainder that is no asset may itself end with a quote
splits as (

    select
        core,
        core as remainder,
        cast(null as varchar) as quote,
        cast([] as integer[]) as lengths,
        false as is_asset,
        false as is_currency_code
    from unnamed
    union all
    select
        splits.core,
        rtrim(left(splits.remainder, length(splits.remainder) - length(quotes.quote)), '-_/') as remainder,
        coalesce(splits.quote, quotes.quote) as quote,
        list_append(splits.lengths, cast(length(quotes.quote) as integer)) as lengths,
        assets.asset is not null as is_asset,
        coalesce(assets.is_currency_code, false) as is_currency_code
    from splits
    inner join {{ ref('seed_quotes') }} as quotes
        on
            ends_with(splits.remainder, quotes.quote)
            and (splits.quote is null or (length(splits.remainder) > length(quotes.quote) and not quotes.is_coin))
    left join {{ ref('known_assets') }} as assets
        on
            rtrim(left(splits.remainder, length(splits.remainder) - length(quotes.quote)), '-_/') = assets.asset
    where not splits.is_asset

),

-- a known coin before a currency code before an unknown word, then the longest quote: DOTUSD is DOT in USD where DOT is
-- known, and XAUTUSD is XAUT in USD although XAU and TUSD are words too; an unknown letter alone is the last resort
chosen as (

    select
        core,
        remainder as base,
        quote
    from splits
    where quote is not null
    qualify row_number() over (
        partition by core
        order by
            is_asset and not is_currency_code desc,
            is_asset desc,
            length(remainder) > 1 desc,
            case when is_asset then length(lengths) end asc,
            lengths desc
    ) = 1

),

based as (

    select
        classed.*,
        case when classed.stated_base <> '' then 'metadata' else 'ticker' end as named_by,
        case
            when classed.stated_base <> '' then classed.stated_base
            when classed.profile = 'CRYPTO' then coalesce(chosen.base, classed.core)
            when classed.profile = 'FOREX' and regexp_matches(classed.ticker, '^[A-Z]{6}$')
                then left(classed.ticker, 3)
        end as full_base,
        case
            when classed.stated_quote <> '' then classed.stated_quote
            when classed.profile = 'CRYPTO' then chosen.quote
            when classed.profile = 'FOREX' and regexp_matches(classed.ticker, '^[A-Z]{6}$')
                then right(classed.ticker, 3)
        end as quote
    from classed
    left join chosen on classed.core = chosen.core and classed.profile = 'CRYPTO' and classed.stated_base = ''

),

-- 1000PEPE is a thousand PEPE where PEPE is known
scaled as (

    select
        based.*,
        coalesce(rest.asset, based.full_base) as base,
        case
            when rest.asset is null then 1.0
            when starts_with(based.full_base, '1M') then 1000000.0
            else cast(regexp_extract(based.full_base, '^10+') as double)
        end as unit_multiplier,
        own.asset is not null as is_known
    from based
    left join {{ ref('known_assets') }} as rest
        on
            based.profile = 'CRYPTO'
            and regexp_extract(based.full_base, '^(1000000|100000|10000|1000|1M)(.+)$', 2) = rest.asset
    left join {{ ref('known_assets') }} as own on based.full_base = own.asset

),

-- a contract for difference is the exposure that it follows; a ticker that the table lacks stands for itself
underlyings as (

    select
        ticker,
        arg_max(economic_id, version) as economic_id
    from {{ ref('seed_cfd_underlyings') }}
    group by ticker

),

exposed as (

    select
        scaled.*,
        underlyings.economic_id as underlying_id
    from scaled
    left join underlyings on scaled.venue_class = 'cfd' and scaled.ticker = underlyings.ticker

),

final as (

    select
        -- keys
        symbol,
        stated_type,
        stated_base,
        stated_quote,

        -- what kind of instrument
        exchange,
        ticker,
        profile,
        venue_class,
        case
            when profile = 'EQUITY' and stated_type = 'fund' then 'etf'
            when profile = 'EQUITY' and stated_type = 'index' then 'index'
            else lower(profile)
        end as asset_class,

        -- what it is the price of
        nullif(full_base, '') as full_base,
        nullif(base, '') as base,
        quote,
        unit_multiplier,
        named_by,
        case
            when profile = 'FUTURES' then regexp_replace(ticker, '(\d+!|[FGHJKMNQUVXZ](20)?\d{2})$', '')
        end as root,
        case
            when venue_class = 'cfd' then coalesce(underlying_id, ticker)
            when profile = 'CRYPTO' then nullif(base, '')
            when profile = 'FOREX' then base || quote
            when profile = 'FUTURES' then regexp_replace(ticker, '(\d+!|[FGHJKMNQUVXZ](20)?\d{2})$', '')
            when profile = 'EQUITY' then ticker || '.' || country
        end as economic_id,
        profile = 'CRYPTO' and named_by = 'ticker' and length(full_base) < 2 and not is_known as is_ambiguous

    from exposed

)

select * from final
order by symbol, stated_type, stated_base, stated_quote
