-- One row per component of the technical ratings: the rating it counts in, how far it looks, and when it votes.
with final as (

    select
        -- keys
        component,

        -- what it is
        rating,
        cast(length as integer) as length,
        meaning,

        -- its vote
        votes_up_when,
        votes_down_when

    from (
        values
            ('sma_10', 'ma', 10, 'close against the simple mean of 10 closes', 'average below close', 'average above close'),
            ('sma_20', 'ma', 20, 'close against the simple mean of 20 closes', 'average below close', 'average above close'),
            ('sma_30', 'ma', 30, 'close against the simple mean of 30 closes', 'average below close', 'average above close'),
            ('sma_50', 'ma', 50, 'close against the simple mean of 50 closes', 'average below close', 'average above close'),
            ('sma_100', 'ma', 100, 'close against the simple mean of 100 closes', 'average below close', 'average above close'),
            ('sma_200', 'ma', 200, 'close against the simple mean of 200 closes', 'average below close', 'average above close'),
            ('ema_10', 'ma', 10, 'close against the exponential mean of 10 bars', 'average below close', 'average above close'),
            ('ema_20', 'ma', 20, 'close against the exponential mean of 20 bars', 'average below close', 'average above close'),
            ('ema_30', 'ma', 30, 'close against the exponential mean of 30 bars', 'average below close', 'average above close'),
            ('ema_50', 'ma', 50, 'close against the exponential mean of 50 bars', 'average below close', 'average above close'),
            ('ema_100', 'ma', 100, 'close against the exponential mean of 100 bars', 'average below close', 'average above close'),
            ('ema_200', 'ma', 200, 'close against the exponential mean of 200 bars', 'average below close', 'average above close'),
            ('vwma_20', 'ma', 20, 'close against the volume-weighted mean of 20 closes', 'average below close', 'average above close'),
            ('hma_9', 'ma', 9, 'close against the Hull average of 9 bars', 'average below close', 'average above close'),
            ('ichimoku', 'ma', 52, 'order of close, conversion line (9), base line (26) and displayed cloud (52)', 'span A > span B, base > span A, conversion > base, close > conversion', 'the reverse order'),
            ('rsi', 'other', 14, 'RSI of 14 bars, Wilder', 'below 30 and rising', 'above 70 and falling'),
            ('stochastic', 'other', 14, 'stochastic 14, 3, 3', 'K and D below 20, K crosses above D', 'K and D above 80, K crosses below D'),
            ('cci', 'other', 20, 'commodity channel index of 20 typical prices', 'below -100 and rising', 'above 100 and falling'),
            ('adx', 'other', 14, 'directional movement of 14 bars', 'above 20, +DI crosses above -DI', 'above 20, +DI crosses below -DI'),
            ('awesome', 'other', 34, 'awesome oscillator, SMA 5 less SMA 34 of the middle of the bar', 'crosses above 0, or above 0 and turns up', 'crosses below 0, or below 0 and turns down'),
            ('momentum', 'other', 10, 'change over 10 bars against that of the bar before', 'rising', 'falling'),
            ('macd', 'other', 26, 'MACD 12, 26 against its signal of 9', 'line above signal', 'line below signal'),
            ('stochastic_rsi', 'other', 50, 'stochastic 3, 3, 14 of the RSI of 14 bars, against the EMA 50', 'close below EMA 50, K and D below 20, K crosses above D', 'close above EMA 50, K and D above 80, K crosses below D'),
            ('williams', 'other', 14, 'Williams %R of 14 bars', 'below -80 and rising', 'above -20 and falling'),
            ('bull_bear', 'other', 50, 'bull and bear power about the EMA 13, with the EMA 50', 'close above EMA 50, bear power below 0 and rising', 'close below EMA 50, bull power above 0 and falling'),
            ('ultimate', 'other', 28, 'ultimate oscillator 7, 14, 28', 'above 70', 'below 30')
    ) as listed (component, rating, length, meaning, votes_up_when, votes_down_when)

)

select * from final
