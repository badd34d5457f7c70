-- One row per symbol and event of the current survival calendar: whether it was tested by it, and whether it passed.
with events as (

    select
        version,
        event_id,
        start_date,
        end_date,
        list(asset_class) as asset_classes
    from {{ ref('survival_events') }}
    where is_current
    group by version, event_id, start_date, end_date

),

-- funds and indices stand for the market that they hold, bond funds for fixed income
listed as (

    select
        symbol,
        calendar_id,
        case
            when asset_class = 'etf' and subclass in ('bond', 'fixed_income') then 'fixed_income'
            when asset_class in ('etf', 'index') then 'equity'
            else asset_class
        end as event_class
    from {{ ref('symbols') }}
    where valid_to is null

),

bars as (

    select * from {{ ref('session_bars') }}

),

extents as (

    select
        symbol,
        min(session_date) as first_session_date
    from bars
    group by symbol

),

-- a symbol is expected on every session of its calendar from its first bar to the calendar's newest
newest as (

    select
        calendar_id,
        max(session_date) as newest_session_date
    from bars
    group by calendar_id

),

pairs as (

    select
        listed.symbol,
        listed.calendar_id,
        listed.event_class,
        events.version,
        events.event_id,
        events.start_date,
        events.end_date,
        case
            when not list_has_any(events.asset_classes, ['all', listed.event_class]) then 'CLASS_NOT_LISTED'
            when extents.first_session_date >= events.start_date then 'LISTED_LATER'
            when newest.newest_session_date <= events.end_date then 'NOT_OVER'
        end as untested_reason
    from listed
    cross join events
    inner join extents on listed.symbol = extents.symbol
    inner join newest on listed.calendar_id = newest.calendar_id

),

-- whoever is tested was there before the event, and the calendar goes on after it
sessions as (

    select
        newest.calendar_id,
        events.event_id,
        count(*) filter (where calendar.session_date <= events.end_date) as expected_count,
        min(calendar.session_date) filter (where calendar.session_date > events.end_date) as tested_from_date
    from newest
    cross join events
    inner join {{ ref('market_calendar') }} as calendar
        on
            newest.calendar_id = calendar.calendar_id
            and events.start_date <= calendar.session_date
            and newest.newest_session_date >= calendar.session_date
    group by newest.calendar_id, events.event_id

),

attended as (

    select
        pairs.symbol,
        pairs.event_id,
        count(*) as attended_count
    from pairs
    inner join bars
        on
            pairs.symbol = bars.symbol
            and pairs.start_date <= bars.session_date
            and pairs.end_date >= bars.session_date
    where pairs.untested_reason is null
    group by pairs.symbol, pairs.event_id

),

attendance as (

    select
        pairs.symbol,
        pairs.event_id,
        sessions.expected_count,
        sessions.expected_count - coalesce(attended.attended_count, 0) as missing_count,
        sessions.tested_from_date
    from pairs
    inner join sessions on pairs.calendar_id = sessions.calendar_id and pairs.event_id = sessions.event_id
    left join attended on pairs.symbol = attended.symbol and pairs.event_id = attended.event_id
    where pairs.untested_reason is null

),

-- volumes of the event, and of the sixty bars before it
volumes as (

    select
        pairs.symbol,
        pairs.event_id,
        bars.volume,
        true as is_in_event
    from pairs
    inner join bars
        on
            pairs.symbol = bars.symbol
            and pairs.start_date <= bars.session_date
            and pairs.end_date >= bars.session_date
    where pairs.untested_reason is null
    union all
    select
        symbol,
        event_id,
        unnest(bars_before).volume as volume,
        false as is_in_event
    from (
        select
            pairs.symbol,
            pairs.event_id,
            arg_max(struct_pack(volume := bars.volume), bars.session_date, 60) as bars_before
        from pairs
        inner join bars on pairs.symbol = bars.symbol and pairs.start_date > bars.session_date
        where pairs.untested_reason is null
        group by pairs.symbol, pairs.event_id
    ) as last_sixty

),

measured as (

    select
        symbol,
        event_id,
        avg(volume order by volume) filter (where is_in_event) as event_volume,
        avg(volume order by volume) filter (where not is_in_event) as earlier_volume,
        stddev_samp(volume order by volume) filter (where not is_in_event) as earlier_deviation,
        count(volume) filter (where not is_in_event) as earlier_count
    from volumes
    group by symbol, event_id

),

judged as (

    select
        pairs.*,
        attendance.expected_count,
        attendance.missing_count,
        attendance.missing_count / attendance.expected_count as missing_share,
        attendance.tested_from_date,
        measured.event_volume,
        measured.earlier_volume,
        measured.earlier_volume - 2 * measured.earlier_deviation as least_volume,
        -- a deviation of fewer than twenty volumes says nothing
        coalesce(measured.event_volume is not null and measured.earlier_count >= 20, false) as is_volume_judged
    from pairs
    left join attendance on pairs.symbol = attendance.symbol and pairs.event_id = attendance.event_id
    left join measured on pairs.symbol = measured.symbol and pairs.event_id = measured.event_id

),

final as (

    select
        -- keys
        symbol,
        event_id,
        version,

        -- the verdict
        event_class,
        untested_reason is null as is_tested,
        untested_reason,
        case
            when untested_reason is null
                then missing_share < 0.02 and (not is_volume_judged or event_volume >= least_volume)
        end as is_passed,

        -- sessions
        cast(expected_count as integer) as expected_count,
        cast(missing_count as integer) as missing_count,
        missing_share,

        -- volumes
        is_volume_judged and untested_reason is null as is_volume_judged,
        case when is_volume_judged and earlier_volume > 0 then event_volume / earlier_volume end as volume_ratio,
        case when is_volume_judged and earlier_volume > 0 then least_volume / earlier_volume end as least_volume_ratio,

        -- nothing of it is known before
        tested_from_date

    from judged

)

select * from final
order by symbol, event_id
