-- One row per symbol, earlier symbol of it and adjustment: until when the bars of the earlier one are its history.
with recursive

-- where a symbol lists says nothing of what it was called before
newest as (

    select *
    from {{ ref('stg_symbol_aliases') }}
    where verdict <> 'LISTED_AS'
    qualify row_number() over (partition by old_symbol order by received_at_utc desc, load_id desc) = 1

),

-- a judgement without a proof names no adjustment
proven as (

    select
        old_symbol,
        new_symbol,
        unnest(adjustments) as adjustment
    from newest

),

firsts as (

    select
        symbol,
        adjustment,
        min(opened_at_utc) as first_opened_utc
    from {{ ref('stg_bars') }}
    where interval = '1d' and is_final and symbol in (select proven.new_symbol from proven)
    group by symbol, adjustment

),

-- what has bars of its own needs nobody else's: each name in a chain ends where the next one begins
chained as (

    select
        proven.new_symbol as symbol,
        proven.old_symbol as origin_symbol,
        proven.adjustment,
        firsts.first_opened_utc as before_utc
    from proven
    inner join firsts on proven.new_symbol = firsts.symbol and proven.adjustment = firsts.adjustment
    union all
    select
        proven.new_symbol as symbol,
        chained.origin_symbol,
        chained.adjustment,
        least(chained.before_utc, firsts.first_opened_utc) as before_utc
    from chained
    inner join proven on chained.symbol = proven.old_symbol and chained.adjustment = proven.adjustment
    inner join firsts on proven.new_symbol = firsts.symbol and proven.adjustment = firsts.adjustment

),

final as (

    select
        -- keys
        symbol,
        origin_symbol,
        adjustment,

        -- what counts
        before_utc

    from chained

)

select * from final
order by symbol, origin_symbol, adjustment
