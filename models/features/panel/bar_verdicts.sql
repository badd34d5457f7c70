-- One row per landed daily bar value: the session it belongs to and whether it is accepted, and why not.
with landed as (

    select *
    from {{ ref('stg_bars') }}
    where interval = '1d'

),

-- the bars of an earlier name are those of the symbol too, where that is proven
bars as (

    select
        *,
        symbol as landed_symbol
    from landed
    union all by name
    select
        landed.* replace (origins.symbol as symbol),
        landed.symbol as landed_symbol
    from landed
    inner join {{ ref('symbol_origins') }} as origins
        on
            landed.symbol = origins.origin_symbol
            and landed.adjustment = origins.adjustment
            and landed.opened_at_utc < origins.before_utc

),

symbols as (

    select *
    from {{ ref('symbols') }}
    where valid_to is null

),

dated as (

    select
        bars.*,
        symbols.calendar_id,
        {{ session_date('bars.opened_at_utc', 'symbols.asset_class', 'symbols.timezone') }} as session_date
    from bars
    left join symbols on bars.symbol = symbols.symbol

),

placed as (

    select
        dated.*,
        calendar.session_number,
        calendar.close_utc
    from dated
    left join {{ ref('market_calendar') }} as calendar
        on dated.calendar_id = calendar.calendar_id and dated.session_date = calendar.session_date

),

-- among the final bars of one session the first source wins, in it the later open, then the later revision
ranked as (

    select
        *,
        is_final and session_number is not null as is_eligible,
        row_number() over session_values as preference,
        first_value(opened_at_utc) over session_values as kept_opened_at_utc,
        first_value(source) over session_values as kept_source,
        count(*) over (partition by symbol, session_date, adjustment, is_final, source) > 1 as is_revised
    from placed
    window session_values as (
        partition by symbol, session_date, adjustment, is_final
        order by {{ source_place('source') }} asc, opened_at_utc desc, received_at_utc desc, load_id desc
    )

),

final as (

    select
        -- keys
        load_id,
        symbol,
        session_date,
        opened_at_utc,
        source,
        adjustment,
        landed_symbol,

        -- the verdict, first match
        case
            when calendar_id is null then 'UNKNOWN_SYMBOL'
            when session_number is null then 'OFF_CALENDAR'
            when not is_final then 'NOT_FINAL'
            when preference = 1 then 'ACCEPTED'
            when opened_at_utc < kept_opened_at_utc and source = kept_source then 'DUP_SESSION'
            else 'SUPERSEDED'
        end as verdict,
        coalesce(is_eligible and is_revised and received_at_utc > close_utc, false) as is_late_revision,

        -- place in the calendar
        calendar_id,
        session_number,
        close_utc,

        -- values
        open,
        high,
        low,
        close,
        volume,
        quote_volume,
        received_at_utc

    from ranked

)

select * from final
