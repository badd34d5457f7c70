-- One row per symbol and session whose last 90 closes stand at a peg: dollar, euro in dollars, or gold.
with quoted as (

    select
        symbols.symbol,
        symbols.economic_id,
        symbols.asset_class
    from {{ ref('symbols') }} as symbols
    left join {{ ref('seed_quotes') }} as quotes on symbols.quote = quotes.quote
    where
        symbols.valid_to is null
        and (
            (symbols.asset_class = 'crypto' and quotes.is_dollar)
            or symbols.economic_id in ('EURUSD', 'XAUUSD')
        )

),

bars as (

    select
        quoted.symbol,
        quoted.economic_id,
        quoted.asset_class,
        session_bars.session_date,
        session_bars.close,
        session_bars.known_at_utc
    from {{ ref('session_bars') }} as session_bars
    inner join quoted on session_bars.symbol = quoted.symbol

),

-- what a peg is worth in dollars that session; a dollar needs no market
pegs as (

    select
        case economic_id when 'EURUSD' then 'EUR' else 'GOLD' end as peg,
        session_date,
        median(close) as worth
    from bars
    where economic_id in ('EURUSD', 'XAUUSD') and asset_class <> 'crypto'
    group by all

),

ratios as (

    select
        symbol,
        session_date,
        known_at_utc,
        'USD' as peg,
        close as ratio
    from bars
    where asset_class = 'crypto'
    union all
    select
        bars.symbol,
        bars.session_date,
        bars.known_at_utc,
        pegs.peg,
        bars.close / pegs.worth as ratio
    from bars
    inner join pegs on bars.session_date = pegs.session_date
    where bars.asset_class = 'crypto'

),

-- a median of 90 below 0.5 % needs 45 values below it: who never had as many is not looked at again
near as (

    select
        symbol,
        peg
    from ratios
    group by symbol, peg
    having count(*) filter (where abs(ratio - 1) < 0.005) >= 45

),

moves as (

    select
        ratios.*,
        ratios.ratio / lag(ratios.ratio) over (
            partition by ratios.symbol, ratios.peg order by ratios.session_date
        ) - 1 as move
    from ratios
    inner join near on ratios.symbol = near.symbol and ratios.peg = near.peg

),

measured as (

    select
        *,
        count(*) over last_90 as bar_count,
        median(abs(ratio - 1)) over last_90 as median_distance,
        stddev_samp(move) over last_90 * sqrt(365) as volatility_annual
    from moves
    window last_90 as (
        partition by symbol, peg order by session_date rows between 89 preceding and current row
    )

),

judged as (

    select
        symbol,
        peg,
        session_date,
        bar_count = 90 and median_distance < 0.005 and volatility_annual < 0.05 as is_pegged
    from measured

),

-- a weekend, when neither gold nor the euro trades, is no departure from them; a week without their price is
final as (

    select
        bars.symbol,
        bars.session_date,
        min(judged.peg) as peg,
        min(bars.known_at_utc) as known_at_utc
    from bars
    inner join near on bars.symbol = near.symbol
    asof inner join judged
        on near.symbol = judged.symbol and near.peg = judged.peg and bars.session_date >= judged.session_date
    where judged.is_pegged and bars.session_date - judged.session_date < 7
    group by bars.symbol, bars.session_date

)

select * from final
order by symbol, session_date
