-- One row per symbol and session: the technical ratings of its bars up to there, and the votes they are the means of.
with ratings as (

    select ratings.*
    from {{ ref('calc_ratings') }} as ratings
    {% if is_incremental() %}
        inner join {{ pending('technical_ratings') }} as changes
            on ratings.symbol = changes.symbol and ratings.session_date >= changes.first_changed_date
    {% endif %}

),

final as (

    select
        -- keys
        symbol,
        session_date,

        -- ratings; halves and tenths are exact limits, so rounding stays out of them
        rating_all,
        rating_ma,
        rating_other,
        case
            when round(rating_all, 9) < -0.5 then 'strong_sell'
            when round(rating_all, 9) < -0.1 then 'sell'
            when round(rating_all, 9) <= 0.1 then 'neutral'
            when round(rating_all, 9) <= 0.5 then 'buy'
            when rating_all is not null then 'strong_buy'
        end as rating_label,

        -- indicators
        adx,
        rsi,
        atr,
        roc,
        volatility_daily,
        volume_change,

        -- votes of moving averages
        vote_sma_10,
        vote_sma_20,
        vote_sma_30,
        vote_sma_50,
        vote_sma_100,
        vote_sma_200,
        vote_ema_10,
        vote_ema_20,
        vote_ema_30,
        vote_ema_50,
        vote_ema_100,
        vote_ema_200,
        vote_vwma_20,
        vote_hma_9,
        vote_ichimoku,

        -- votes of oscillators
        vote_rsi,
        vote_stochastic,
        vote_cci,
        vote_adx,
        vote_awesome,
        vote_momentum,
        vote_macd,
        vote_stochastic_rsi,
        vote_williams,
        vote_bull_bear,
        vote_ultimate,

        -- what it rests on
        ma_vote_count,
        other_vote_count,
        bar_count,
        is_warm,
        known_at_utc

    from ratings

)

select * from final
