-- One row per symbol, session and component whose vote a vendor told or whose values it did: its vote beside ours.
with told as (

    select
        told.*,
        ratings.bar_count
    from {{ ref('rating_observations') }} as told
    inner join {{ ref('technical_ratings') }} as ratings
        on told.symbol = ratings.symbol and told.session_date = ratings.session_date

),

-- values side by side, and those of the bar before where it was told in the same way
observed as (

    select
        symbol,
        session_date,
        is_intrabar,
        bar_count,
        observed_at_utc,
        map_from_entries(list(struct_pack(k := feature, v := value))) as now
    from told
    group by all

),

paired as (

    select
        *,
        case
            when
                lag(bar_count) over by_session = bar_count - 1
                and lag(is_intrabar) over by_session = is_intrabar
                then lag(now) over by_session
        end as before
    from observed
    window by_session as (partition by symbol order by session_date)

),

said as (

    select
        symbol,
        session_date,
        is_intrabar,
        observed_at_utc,
        unnest([
            -- votes as they were told
            struct_pack(component := 'ichimoku', basis := 'vote', vote := now['rec_ichimoku']),
            struct_pack(component := 'vwma_20', basis := 'vote', vote := now['rec_vwma']),
            struct_pack(component := 'hma_9', basis := 'vote', vote := now['rec_hullma9']),
            struct_pack(component := 'stochastic_rsi', basis := 'vote', vote := now['rec_stoch_rsi']),
            struct_pack(component := 'williams', basis := 'vote', vote := now['rec_wr']),
            struct_pack(component := 'bull_bear', basis := 'vote', vote := now['rec_bbpower']),
            struct_pack(component := 'ultimate', basis := 'vote', vote := now['rec_uo']),

            -- votes that follow from values of the bar
            {% for kind in ['sma', 'ema'] %}
                {% for length in [10, 20, 30, 50, 100, 200] %}
                    struct_pack(
                        component := '{{ kind }}_{{ length }}',
                        basis := 'values',
                        vote := sign(now['close'] - now['{{ kind }}{{ length }}'])
                    ),
                {% endfor %}
            {% endfor %}
            struct_pack(
                component := 'macd', basis := 'values', vote := sign(now['macd_macd'] - now['macd_signal'])
            ),

            -- votes that follow from values of the bar and of the one before
            struct_pack(component := 'momentum', basis := 'values', vote := sign(now['mom'] - before['mom'])),
            struct_pack(
                component := 'rsi',
                basis := 'values',
                vote := case
                    when now['rsi'] < 30 and now['rsi'] > before['rsi'] then 1
                    when now['rsi'] > 70 and now['rsi'] < before['rsi'] then -1
                    when now['rsi'] is not null and before['rsi'] is not null then 0
                end
            ),
            struct_pack(
                component := 'cci',
                basis := 'values',
                vote := case
                    when now['cci20'] < -100 and now['cci20'] > before['cci20'] then 1
                    when now['cci20'] > 100 and now['cci20'] < before['cci20'] then -1
                    when now['cci20'] is not null and before['cci20'] is not null then 0
                end
            ),
            struct_pack(
                component := 'stochastic',
                basis := 'values',
                vote := case
                    when
                        greatest(now['stoch_k'], now['stoch_d']) < 20
                        and now['stoch_k'] > now['stoch_d'] and before['stoch_k'] < before['stoch_d']
                        then 1
                    when
                        least(now['stoch_k'], now['stoch_d']) > 80
                        and now['stoch_k'] < now['stoch_d'] and before['stoch_k'] > before['stoch_d']
                        then -1
                    when now['stoch_k'] + now['stoch_d'] + before['stoch_k'] + before['stoch_d'] is not null then 0
                end
            )
        ]) as item
    from paired

),

-- a whole market has a hundred million votes: those that nothing is said of are not looked at
compared as (

    select ratings.*
    from {{ ref('technical_ratings') }} as ratings
    semi join observed on ratings.symbol = observed.symbol and ratings.session_date = observed.session_date

),

votes as (

    unpivot compared
    on columns('^vote_')
    into name vote_column value vote

),

final as (

    select
        -- keys
        said.symbol,
        said.session_date,
        said.item.component as component,

        -- votes; ours is NULL where the component could not vote
        votes.vote as local_vote,
        cast(said.item.vote as tinyint) as vendor_vote,
        votes.vote = said.item.vote as is_same_vote,

        -- where the vendor's comes from, and how far they may be compared
        said.item.basis as vendor_basis,
        said.is_intrabar,
        coalesce(votes.bar_count > 5 * components.length, false) as is_warm,
        said.observed_at_utc

    from said
    inner join {{ ref('rating_components') }} as components on said.item.component = components.component
    left join votes
        on
            said.symbol = votes.symbol
            and said.session_date = votes.session_date
            and 'vote_' || said.item.component = votes.vote_column
    where said.item.vote is not null

)

select * from final
order by symbol, session_date, component
