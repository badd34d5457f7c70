-- One row per symbol, observation, timeframe and feature: what the vendor said, and whether its bar was still open.
with answers as (

    select distinct
        load_id,
        symbol,
        received_at_utc
    from {{ ref('stg_vendor_features') }}

),

listed as (

    select
        symbol,
        calendar_id
    from {{ ref('symbols') }}
    where valid_to is null

),

-- the session that runs at the observation, or the last one before it
placed as (

    select
        answers.load_id,
        answers.symbol,
        answers.received_at_utc,
        calendar.session_date,
        answers.received_at_utc < calendar.close_utc as is_open,
        calendar.calendar_id
    from answers
    inner join listed on answers.symbol = listed.symbol
    asof inner join {{ ref('market_calendar') }} as calendar
        on listed.calendar_id = calendar.calendar_id and answers.received_at_utc >= calendar.open_utc

),

-- a week and a month are over with the close of their last session
periods as (

    select
        calendar_id,
        session_date,
        max(close_utc) over (partition by calendar_id, date_trunc('week', session_date)) as week_close_utc,
        max(close_utc) over (partition by calendar_id, date_trunc('month', session_date)) as month_close_utc
    from {{ ref('market_calendar') }}

),

timed as (

    select
        placed.*,
        placed.received_at_utc < periods.week_close_utc as is_week_open,
        placed.received_at_utc < periods.month_close_utc as is_month_open
    from placed
    inner join periods on placed.calendar_id = periods.calendar_id and placed.session_date = periods.session_date

),

named as (

    select
        load_id,
        row_number,
        symbol,
        field,
        case split_part(field, '|', 2)
            when '' then '1d'
            when '60' then '1h'
            when '120' then '2h'
            when '240' then '4h'
            when '1W' then '1W'
            when '1M' then '1M'
            else split_part(field, '|', 2) || 'm'
        end as timeframe,
        replace(lower(split_part(field, '|', 1)), '.', '_') as feature,
        try_cast(value as double) as value
    from {{ ref('stg_vendor_features') }}

),

-- an answer may repeat a symbol; the last word of one instant holds
final as (

    select
        -- keys
        timed.symbol,
        timed.received_at_utc as observed_at_utc,
        named.timeframe,
        named.feature,

        -- what was said
        named.value,
        timed.session_date,

        -- a value of a bar that was not over is not that bar's value
        case named.timeframe
            when '1W' then timed.is_week_open
            when '1M' then timed.is_month_open
            else timed.is_open
        end as is_intrabar,
        named.load_id

    from named
    inner join timed on named.load_id = timed.load_id and named.symbol = timed.symbol
    where named.value is not null
    qualify row_number() over (
        partition by timed.symbol, timed.received_at_utc, named.timeframe, named.feature
        order by named.load_id desc, named.row_number desc, named.field asc
    ) = 1

)

select * from final
