-- One row per symbol and as-of date: the exposure behind it, and whether it stands for its group at that close.
with listings as (

    select
        symbols.symbol,
        symbols.exchange,
        symbols.asset_class,
        symbols.venue_class,
        symbols.base,
        symbols.quote,
        symbols.unit_multiplier,
        symbols.calendar_id,
        coalesce(symbols.economic_id, symbols.symbol) as economic_id,
        quotes.priority as quote_rank,
        exchanges.priority as exchange_rank,
        -- turnover counts where it is in dollars, and for a coin-margined contract it counts contracts
        symbols.asset_class <> 'crypto'
        or (quotes.is_dollar and not (symbols.venue_class in ('perp', 'dated') and symbols.quote = 'USD'))
            as is_comparable,
        symbols.valid_from,
        coalesce(symbols.valid_to, timestamp '9999-01-01') as valid_to
    from {{ ref('symbols') }} as symbols
    left join {{ ref('seed_quotes') }} as quotes on symbols.quote = quotes.quote and symbols.asset_class = 'crypto'
    left join {{ ref('seed_exchanges') }} as exchanges on symbols.exchange = exchanges.exchange

),

{% if is_incremental() %}
-- rows of a session read other symbols: a session is made anew as a whole, whoever changed
    since as (

        select {{ first_pending_date('symbol_identity') }} as first_date

    ),

    -- a median of thirty sessions begins twenty-nine before
    reach as (

        select
            calendar_id,
            min(session_number) - 29 as first_session_number
        from {{ ref('market_calendar') }}
        where session_date >= (select since.first_date from since)
        group by calendar_id

    ),

    -- whoever may be a multiple of a token is compared over its own last thirty rows, however far apart they lie
    compared as (

        select base
        from listings
        group by base
        having max(unit_multiplier) > 1

    ),
{% endif %}

-- most exposures have one listing of a kind, and nothing to choose
contested as (

    select
        coalesce(base, economic_id) as exposure,
        venue_class
    from listings
    group by all
    having count(distinct symbol) > 1

),

-- as-of dates of symbols with bars: every session from the first one on, whether it has a bar or not
traded as (

    select
        expected.symbol,
        expected.session_date as as_of_date,
        calendar.close_utc as known_at_utc,
        bars.turnover,
        bars.close,
        median(bars.turnover) over (
            partition by expected.symbol order by expected.session_number rows between 29 preceding and current row
        ) as median_turnover
    from {{ ref('expected_sessions') }} as expected
    inner join {{ ref('market_calendar') }} as calendar
        on expected.calendar_id = calendar.calendar_id and expected.session_number = calendar.session_number
    left join {{ ref('session_bars') }} as bars
        on expected.symbol = bars.symbol and expected.session_date = bars.session_date
    {% if is_incremental() %}
        inner join reach on expected.calendar_id = reach.calendar_id
        where
            expected.session_number >= reach.first_session_number
            or expected.symbol in (
                select listings.symbol
                from listings
                inner join compared on listings.base = compared.base
            )
    {% endif %}

),

scans as (

    select distinct
        symbol,
        scanned_at_utc,
        turnover,
        close
    from {{ ref('stg_scan_rows') }}

),

calendars as (

    select
        symbol,
        calendar_id
    from {{ ref('symbols') }}
    where valid_to is null

),

-- as-of dates of symbols that a scan named: the session at whose close the scan was known
scanned as (

    select
        scans.symbol,
        calendar.session_date as as_of_date,
        calendar.close_utc as known_at_utc,
        arg_max(scans.turnover, (scans.scanned_at_utc, scans.turnover)) as turnover,
        arg_max(scans.close, (scans.scanned_at_utc, scans.close)) as close
    from scans
    inner join calendars on scans.symbol = calendars.symbol
    asof inner join {{ ref('market_calendar') }} as calendar
        on calendars.calendar_id = calendar.calendar_id and scans.scanned_at_utc < calendar.close_utc
    group by all

),

observed as (

    select
        coalesce(traded.symbol, scanned.symbol) as symbol,
        coalesce(traded.as_of_date, scanned.as_of_date) as as_of_date,
        coalesce(traded.known_at_utc, scanned.known_at_utc) as known_at_utc,
        coalesce(traded.close, scanned.close) as close,
        traded.median_turnover,
        scanned.turnover as scanned_turnover
    from traded
    full outer join scanned on traded.symbol = scanned.symbol and traded.as_of_date = scanned.as_of_date

),

named as (

    select
        observed.*,
        listings.exchange,
        listings.asset_class,
        listings.venue_class,
        listings.base,
        listings.quote,
        listings.unit_multiplier,
        listings.economic_id,
        listings.quote_rank,
        listings.exchange_rank,
        listings.is_comparable
    from observed
    inner join listings
        on
            observed.symbol = listings.symbol
            and observed.known_at_utc >= listings.valid_from
            and observed.known_at_utc < listings.valid_to

),

-- what one unit of a base costs in dollars, told by listings without a multiplier
unit_prices as (

    select
        base,
        as_of_date,
        median(close) as unit_price
    from named
    where
        unit_multiplier = 1
        and quote_rank is not null
        and is_comparable
        and base in (
            select listings.base
            from listings
            where listings.unit_multiplier > 1
        )
    group by base, as_of_date

),

-- 1000PEPE is PEPE while a thousand times PEPE is its price: 1000000BOB and BOB are two tokens
agreements as (

    select
        named.symbol,
        named.as_of_date,
        abs(median(named.close / named.unit_multiplier / unit_prices.unit_price) over (
            partition by named.symbol order by named.as_of_date rows between 29 preceding and current row
        ) - 1) <= 0.02 as is_same
    from named
    left join unit_prices on named.base = unit_prices.base and named.as_of_date = unit_prices.as_of_date
    where named.unit_multiplier > 1

),

grouped as (

    select
        named.symbol,
        named.as_of_date,
        named.known_at_utc,
        case
            when agreements.symbol is null or agreements.is_same or not exists (
                select 1
                from unit_prices
                where unit_prices.base = named.base
            ) then named.economic_id
            else cast(named.unit_multiplier as bigint) || named.base
        end as economic_id,
        contested.exposure is not null as is_contested,
        named.venue_class,
        named.exchange,
        named.quote,
        named.quote_rank,
        named.exchange_rank,
        named.is_comparable,
        named.median_turnover,
        case when named.is_comparable then coalesce(named.median_turnover, named.scanned_turnover) end as liquidity
    from named
    left join agreements on named.symbol = agreements.symbol and named.as_of_date = agreements.as_of_date
    left join contested
        on coalesce(named.base, named.economic_id) = contested.exposure and named.venue_class = contested.venue_class

),

contenders as (

    select *
    from grouped
    where is_contested

),

represented as (

    {{ representatives('contenders', ['as_of_date', 'economic_id', 'venue_class']) | indent(4) }}

),

chosen as (

    select *
    from represented
    union all by name
    select
        *,
        1 as place,
        1 as group_size,
        liquidity as group_liquidity,
        'ONLY' as kept_because,
        cast(null as varchar) as alternatives
    from grouped
    where not is_contested

),

final as (

    select
        -- keys
        symbol,
        as_of_date,

        -- the exposure and its group
        economic_id,
        economic_id || ':' || venue_class as identity_group,
        venue_class,
        quote,

        -- who stands for the group, and why
        place = 1 as is_representative,
        kept_because,
        cast(group_size as integer) as group_size,
        alternatives,

        -- liquidity
        median_turnover,
        is_comparable as is_turnover_comparable,
        liquidity as vt_rep,
        group_liquidity as vt_group,

        -- times
        known_at_utc

    from chosen
    {% if is_incremental() %}
        where as_of_date >= (select since.first_date from since)
    {% endif %}

)

select * from final
