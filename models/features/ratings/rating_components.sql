-- One row per component of the technical ratings: the rating it counts in, how far it looks, and when it votes.
with final as (

    select
        -- keys
        component,

        -- what it is
        rating,
        length,
        meaning,

        -- its vote
        votes_up_when,
        votes_down_when

    from {{ ref('seed_rating_components') }}

)

select * from final
