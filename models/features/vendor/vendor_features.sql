-- One row per symbol, observation, timeframe and feature: what the vendor said, and whether its bar was still open.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['symbol', 'observed_at_utc', 'timeframe', 'feature']
) }}

-- of one instant there may be several answers
with answers as (

    select
        symbol,
        received_at_utc,
        sum(cast(hash(load_id, row_number) as hugeint)) as answers_digest
    from {{ ref('stg_vendor_features') }}
    group by symbol, received_at_utc

),

listed as (

    select
        symbol,
        calendar_id
    from {{ ref('symbols') }}
    where valid_to is null

),

-- the session that runs at the observation, or the last one before it; without a calendar there is none
placed as (

    select
        answers.symbol,
        answers.received_at_utc,
        answers.answers_digest,
        calendar.session_date,
        answers.received_at_utc < calendar.close_utc as is_open,
        calendar.calendar_id,
        case
            when listed.symbol is null then 'NOT_DESCRIBED'
            when calendar.session_date is null then 'BEFORE_CALENDAR'
            else 'OK'
        end as status
    from answers
    left join listed on answers.symbol = listed.symbol
    asof left join {{ ref('market_calendar') }} as calendar
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
    left join periods on placed.calendar_id = periods.calendar_id and placed.session_date = periods.session_date

),

digested as (

    select
        *,
        hash(code_digest(), answers_digest, status, session_date, is_open, is_week_open, is_month_open)
            as inputs_digest
    from timed

),

{% if knows_inputs() %}
    kept as (

        select distinct
            symbol,
            observed_at_utc,
            inputs_digest
        from {{ this }}

    ),
{% endif %}

-- observations that were not read yet, or that now belong to another session or to bars that are over
wanted as (

    select digested.*
    from digested
    {% if knows_inputs() %}
        anti join kept
            on
                digested.symbol = kept.symbol
                and digested.received_at_utc = kept.observed_at_utc
                and digested.inputs_digest = kept.inputs_digest
    {% endif %}

),

entries as (

    select
        answers.load_id,
        answers.row_number,
        wanted.symbol,
        wanted.received_at_utc,
        wanted.status,
        wanted.session_date,
        wanted.is_open,
        wanted.is_week_open,
        wanted.is_month_open,
        wanted.inputs_digest,
        unnest(map_entries(cast(cast(answers.payload as json) as map (varchar, varchar)))) as entry
    from {{ ref('stg_vendor_features') }} as answers
    inner join wanted on answers.received_at_utc = wanted.received_at_utc and answers.symbol = wanted.symbol

),

named as (

    select
        * exclude (entry),
        entry.key as field,
        case split_part(entry.key, '|', 2)
            when '' then '1d'
            when '60' then '1h'
            when '120' then '2h'
            when '240' then '4h'
            when '1W' then '1W'
            when '1M' then '1M'
            else split_part(entry.key, '|', 2) || 'm'
        end as timeframe,
        replace(lower(split_part(entry.key, '|', 1)), '.', '_') as feature,
        try_cast(entry.value as double) as value
    from entries

),

-- an answer may repeat a symbol; the last word of one instant holds
final as (

    select
        -- keys
        symbol,
        received_at_utc as observed_at_utc,
        timeframe,
        feature,

        -- what was said
        value,
        status,
        session_date,

        -- a value of a bar that was not over is not that bar's value
        case timeframe
            when '1W' then is_week_open
            when '1M' then is_month_open
            else is_open
        end as is_intrabar,
        load_id,

        -- what it was read from
        inputs_digest

    from named
    where value is not null
    qualify row_number() over (
        partition by symbol, received_at_utc, timeframe, feature
        order by load_id desc, row_number desc, field asc
    ) = 1

)

select * from final
