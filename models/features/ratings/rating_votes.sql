-- One row per symbol, session and component that could vote: its vote, and what that is worth in its rating.
with votes as (

    unpivot {{ ref('technical_ratings') }}
    on columns('^vote_')
    into name vote_column value vote

),

final as (

    select
        -- keys
        votes.symbol,
        votes.session_date,
        components.component,

        -- the vote
        components.rating,
        votes.vote,
        votes.vote / case components.rating when 'ma' then votes.ma_vote_count else votes.other_vote_count end as share,
        votes.bar_count > 5 * components.length as is_warm,

        -- why
        components.meaning,
        case votes.vote when 1 then components.votes_up_when when -1 then components.votes_down_when end as because

    from votes
    inner join {{ ref('rating_components') }} as components on votes.vote_column = 'vote_' || components.component

)

select * from final
