-- One row per landed daily bar value: the session it belongs to and whether it is accepted, and why not.
-- depends_on: {{ ref('bar_changes') }}
with bars as (

    select *
    from {{ ref('stg_bars') }}
    where interval = '1d'

),

symbols as (

    select
        symbol,
        calendar_id,
        asset_class,
        timezone,
        dense_rank() over (order by calendar_id, asset_class, timezone) as placement
    from {{ ref('symbols') }}
    where valid_to is null

),

placements as (

    select distinct
        placement,
        calendar_id,
        asset_class,
        timezone
    from symbols

),

opens as (

    select distinct opened_at_utc
    from bars

),

-- thousands of bars open at one moment: its session is found once
moments as (

    select
        opens.opened_at_utc,
        placements.placement,
        placements.calendar_id,
        {{ session_date('opens.opened_at_utc', 'placements.asset_class', 'placements.timezone') }} as session_date
    from opens
    cross join placements

),

sessions as (

    select
        moments.*,
        calendar.session_number,
        calendar.close_utc
    from moments
    left join {{ ref('market_calendar') }} as calendar
        on moments.calendar_id = calendar.calendar_id and moments.session_date = calendar.session_date

),

placed as (

    select
        bars.*,
        symbols.calendar_id,
        sessions.session_date,
        sessions.session_number,
        sessions.close_utc
    from bars
    left join symbols on bars.symbol = symbols.symbol
    left join sessions
        on symbols.placement = sessions.placement and bars.opened_at_utc = sessions.opened_at_utc
    {% if is_incremental() %}
        inner join {{ pending('bar_verdicts') }} as changes
            on
                bars.symbol = changes.symbol
                and (sessions.session_date is null or sessions.session_date >= changes.first_changed_date)
    {% endif %}

),

-- most sessions have one value
repeated as (

    select
        symbol,
        session_date,
        adjustment,
        is_final
    from placed
    group by symbol, session_date, adjustment, is_final
    having count(*) > 1

),

-- among the final bars of one session the later open wins, then the later revision
revised as (

    select
        placed.symbol,
        placed.session_date,
        placed.adjustment,
        placed.is_final,
        max(struct_pack(
            opened_at_utc := placed.opened_at_utc, received_at_utc := placed.received_at_utc, load_id := placed.load_id
        )) as kept
    from placed
    inner join repeated
        on
            placed.symbol = repeated.symbol
            and placed.session_date = repeated.session_date
            and placed.adjustment = repeated.adjustment
            and placed.is_final = repeated.is_final
    group by placed.symbol, placed.session_date, placed.adjustment, placed.is_final

),

ranked as (

    select
        placed.*,
        placed.is_final and placed.session_number is not null as is_eligible,
        revised.symbol is not null as is_revised,
        coalesce(revised.kept.opened_at_utc, placed.opened_at_utc) as kept_opened_at_utc,
        revised.symbol is null
        or (
            placed.opened_at_utc = revised.kept.opened_at_utc
            and placed.received_at_utc = revised.kept.received_at_utc
            and placed.load_id = revised.kept.load_id
        ) as is_kept
    from placed
    left join revised
        on
            placed.symbol = revised.symbol
            and placed.session_date = revised.session_date
            and placed.adjustment = revised.adjustment
            and placed.is_final = revised.is_final

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

        -- the verdict, first match
        case
            when calendar_id is null then 'UNKNOWN_SYMBOL'
            when session_number is null then 'OFF_CALENDAR'
            when not is_final then 'NOT_FINAL'
            when is_kept then 'ACCEPTED'
            when opened_at_utc < kept_opened_at_utc then 'DUP_SESSION'
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
