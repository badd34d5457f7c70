-- One row per symbol, session and rating that a vendor told: its value beside ours.
with told as (

    select
        *,
        replace(feature, 'recommend_', '') as rating
    from {{ ref('rating_observations') }}
    where feature in ('recommend_all', 'recommend_ma', 'recommend_other')

),

ratings as (

    select * from {{ ref('technical_ratings') }}

),

final as (

    select
        -- keys
        told.symbol,
        told.session_date,
        told.rating,

        -- values
        case told.rating
            when 'all' then ratings.rating_all
            when 'ma' then ratings.rating_ma
            when 'other' then ratings.rating_other
        end as local_value,
        told.value as vendor_value,
        sign(local_value) = sign(vendor_value) as is_same_sign,

        -- how far they may be compared
        told.is_intrabar,
        coalesce(ratings.is_warm, false) as is_warm,
        told.observed_at_utc

    from told
    left join ratings on told.symbol = ratings.symbol and told.session_date = ratings.session_date

)

select * from final
order by symbol, session_date, rating
