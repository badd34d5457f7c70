-- One row per symbol, session and feature of the day that a vendor told: the value that is compared with that session.
with told as (

    select *
    from {{ ref('vendor_features') }}
    where timeframe = '1d'

),

moments as (

    select distinct
        symbol,
        observed_at_utc,
        session_date,
        is_intrabar
    from told

),

rated as (

    select
        symbol,
        session_date,
        known_at_utc
    from {{ ref('technical_ratings') }}
    where symbol in (select moments.symbol from moments)

),

-- what was said of a bar that still ran is held against the last bar that was known by then
placed as (

    select
        moments.symbol,
        moments.observed_at_utc,
        moments.is_intrabar,
        case when moments.is_intrabar then rated.session_date else moments.session_date end as session_date
    from moments
    asof left join rated
        on moments.symbol = rated.symbol and moments.observed_at_utc >= rated.known_at_utc

),

-- a closed bar before a running one; of closed ones the last word, of running ones the nearest to the close
chosen as (

    select *
    from placed
    where session_date is not null
    qualify row_number() over (
        partition by symbol, session_date
        order by
            is_intrabar asc,
            case when is_intrabar then epoch(observed_at_utc) else -epoch(observed_at_utc) end asc
    ) = 1

),

final as (

    select
        -- keys
        chosen.symbol,
        chosen.session_date,
        told.feature,

        -- what was said
        told.value,
        chosen.is_intrabar,
        chosen.observed_at_utc

    from chosen
    inner join told on chosen.symbol = told.symbol and chosen.observed_at_utc = told.observed_at_utc

)

select * from final
