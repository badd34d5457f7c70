-- One row per change and symbol: from which session on what is known of the symbol differs from the change before.
with calendars as (

    select
        calendar_id,
        md5(string_agg(session_date || ' ' || open_utc || ' ' || close_utc, ',' order by session_date)) as digest
    from {{ ref('market_calendar') }}
    group by calendar_id

),

-- whatever is said of a symbol, now or of earlier times
described as (

    select
        symbol,
        any_value(calendar_id) filter (where valid_to is null) as calendar_id,
        any_value(asset_class) filter (where valid_to is null) as asset_class,
        any_value(timezone) filter (where valid_to is null) as timezone,
        -- others are judged by the closes of this one
        coalesce(bool_or(
            valid_to is null and asset_class <> 'crypto' and economic_id in ('EURUSD', 'XAUUSD')
        ), false) as is_peg,
        md5(string_agg(cast(facts as varchar), ',' order by facts.valid_from)) as digest
    from {{ ref('symbols') }} as facts
    group by symbol

),

daily as (

    select
        symbol,
        load_id,
        adjustment,
        opened_at_utc,
        is_final
    from {{ ref('stg_bars') }}
    where interval = '1d'

),

actors as (

    select distinct symbol
    from {{ ref('stg_corporate_actions') }}

),

-- what else the rows of a symbol rest on, whenever it was said: earlier names whose bars are its own, sets of assets
-- that stand still by design, and a symbol whose newest load was toxic
said as (

    select
        symbol,
        origin_symbol || ' ' || adjustment || ' ' || before_utc as words
    from {{ ref('symbol_origins') }}
    union all
    select distinct
        names.symbol,
        sets.tag as words
    from {{ ref('symbol_names') }} as names
    inner join {{ ref('seed_asset_sets') }} as sets on names.base = sets.asset
    where names.profile = 'CRYPTO' and sets.tag in ('STABLE', 'FIAT')
    union all
    select
        symbol,
        status as words
    from {{ ref('stg_symbol_registry') }}
    where status = 'TOXIC'
    union all
    -- with its first dividend or split the total return of a symbol is made of its prices, from its first bar on
    select
        symbol,
        'actions' as words
    from actors
    union all
    -- a landed total return takes the place of that, also where it does not reach
    select distinct
        daily.symbol,
        'total_return' as words
    from daily
    inner join actors on daily.symbol = actors.symbol
    where daily.adjustment = 'total_return'

),

worded as (

    select
        symbol,
        md5(string_agg(words, ',' order by words)) as digest
    from said
    group by symbol

),

-- what was landed under a symbol, or under an earlier name of it: bars, bars that were kept out, words about their
-- moves, and scans that named it
landed as (

    select
        symbol,
        load_id,
        opened_at_utc,
        is_final,
        cast(null as date) as stated_date
    from daily
    union all
    select
        origins.symbol,
        daily.load_id,
        daily.opened_at_utc,
        daily.is_final,
        null as stated_date
    from daily
    inner join {{ ref('symbol_origins') }} as origins
        on
            daily.symbol = origins.origin_symbol
            and daily.adjustment = origins.adjustment
            and daily.opened_at_utc < origins.before_utc
    union all
    select
        symbol,
        load_id,
        opened_at_utc,
        false as is_final,
        null as stated_date
    from {{ ref('stg_findings') }}
    where opened_at_utc is not null
    union all
    select
        symbol,
        load_id,
        null as opened_at_utc,
        false as is_final,
        session_date as stated_date
    from {{ ref('stg_resolutions') }}
    union all
    select
        symbol,
        load_id,
        null as opened_at_utc,
        false as is_final,
        -- the session at whose close a scan is known begins at most a day before
        cast(scanned_at_utc as date) - 1 as stated_date
    from {{ ref('stg_scan_rows') }}
    union all
    select
        symbol,
        load_id,
        null as opened_at_utc,
        false as is_final,
        -- the session of its ex-date begins at most a day before; a split restates the amounts of all before it
        case when action = 'split' then date '0001-01-01' else cast(acts_at_utc as date) - 1 end as stated_date
    from {{ ref('stg_corporate_actions') }}

),

counted as (

    select
        symbol,
        count(*) as landed_count,
        max(load_id) as newest_load_id
    from landed
    group by symbol

),

present as (

    select
        counted.*,
        described.calendar_id,
        described.asset_class,
        described.timezone,
        coalesce(described.calendar_id || ' ' || described.asset_class || ' ' || described.timezone, '') as placed_by,
        coalesce(described.is_peg, false) as is_peg,
        coalesce(described.digest, '') || coalesce(calendars.digest, '') || coalesce(worded.digest, '') as facts_digest
    from counted
    left join described on counted.symbol = described.symbol
    left join worded on counted.symbol = worded.symbol
    left join calendars on described.calendar_id = calendars.calendar_id

),

previous as (

    {% if is_incremental() %}
        select
            symbol,
            arg_max(landed_count, change_number) as landed_count,
            arg_max(newest_load_id, change_number) as newest_load_id,
            arg_max(facts_digest, change_number) as facts_digest,
            arg_max(calendar_id, change_number) as calendar_id,
            arg_max(placed_by, change_number) as placed_by,
            arg_max(is_peg, change_number) as is_peg,
            max(max(change_number)) over () as last_change_number
        from {{ this }}
        group by symbol
    {% else %}
        select
            symbol,
            landed_count,
            newest_load_id,
            facts_digest,
            calendar_id,
            placed_by,
            is_peg,
            0 as last_change_number
        from present
        where false
    {% endif %}

),

touched as (

    select
        present.*,
        previous.landed_count as earlier_count,
        previous.newest_load_id as earlier_load_id,
        previous.calendar_id as earlier_calendar_id,
        previous.placed_by <> present.placed_by as is_moved,
        present.is_peg or coalesce(previous.is_peg, false) as is_any_peg,
        coalesce(previous.facts_digest <> present.facts_digest, true) as is_whole
    from present
    left join previous on present.symbol = previous.symbol
    where
        previous.symbol is null
        or previous.landed_count <> present.landed_count
        or previous.newest_load_id <> present.newest_load_id
        or previous.facts_digest <> present.facts_digest

),

{% if is_incremental() %}

    -- load ids ascend in the order of landing: what is newer than the newest before was landed since
    added as (

        select
            landed.symbol,
            touched.calendar_id,
            landed.is_final,
            landed.opened_at_utc,
            coalesce(
                landed.stated_date,
                {{ session_date('landed.opened_at_utc', 'touched.asset_class', 'touched.timezone') }}
            ) as session_date
        from landed
        inner join touched on landed.symbol = touched.symbol
        where touched.is_whole or landed.load_id > touched.earlier_load_id

    ),

    -- a row that was landed and is there no more, or was landed beneath the newest, makes everything of its symbol new
    kept as (

        select
            touched.symbol,
            count(*) filter (where landed.load_id <= touched.earlier_load_id) as kept_count
        from touched
        inner join landed on touched.symbol = landed.symbol
        where touched.earlier_load_id is not null
        group by touched.symbol

    ),

    own as (

        select
            touched.symbol,
            case
                when any_value(touched.is_whole) or any_value(kept.kept_count) <> any_value(touched.earlier_count)
                    then date '0001-01-01'
                else coalesce(min(added.session_date), date '0001-01-01')
            end as first_changed_date
        from touched
        left join kept on touched.symbol = kept.symbol
        left join added on touched.symbol = added.symbol
        group by touched.symbol

    ),

    -- where a calendar has bars already: thousands of bars open at one moment, whose session is found once
    moments_before as (

        select distinct
            landed.opened_at_utc,
            present.calendar_id,
            present.asset_class,
            present.timezone
        from landed
        inner join present on landed.symbol = present.symbol
        left join touched on landed.symbol = touched.symbol
        where
            landed.is_final
            and (touched.symbol is null or (not touched.is_whole and landed.load_id <= touched.earlier_load_id))

    ),

    sessions_before as (

        select distinct
            calendar.calendar_id,
            calendar.session_date
        from (
            select
                calendar_id,
                {{ session_date('opened_at_utc', 'asset_class', 'timezone') }} as session_date
            from moments_before
        ) as dated
        inner join {{ ref('market_calendar') }} as calendar
            on dated.calendar_id = calendar.calendar_id and dated.session_date = calendar.session_date

    ),

    newest_before as (

        select
            calendar_id,
            max(session_date) as session_date
        from sessions_before
        group by calendar_id

    ),

    sessions_added as (

        select distinct
            added.calendar_id,
            added.session_date
        from added
        inner join {{ ref('market_calendar') }} as calendar
            on added.calendar_id = calendar.calendar_id and added.session_date = calendar.session_date
        anti join sessions_before
            on added.calendar_id = sessions_before.calendar_id and added.session_date = sessions_before.session_date
        where added.is_final

    ),

    -- the first bar that a calendar gets on a session makes the others miss it, and with it whatever lies between
    moved as (

        select
            sessions_added.calendar_id,
            min(case
                when sessions_added.session_date > newest_before.session_date then newest_before.session_date + 1
                else sessions_added.session_date
            end) as first_changed_date
        from sessions_added
        left join newest_before on sessions_added.calendar_id = newest_before.calendar_id
        group by sessions_added.calendar_id
        union all
        -- who leaves a calendar may have been the only one on a session of it
        select distinct
            earlier_calendar_id as calendar_id,
            date '0001-01-01' as first_changed_date
        from touched
        where is_moved and earlier_calendar_id is not null

    ),

{% else %}

    own as (

        select
            symbol,
            date '0001-01-01' as first_changed_date
        from touched

    ),

{% endif %}

first_dates as (

    select
        symbol,
        first_changed_date
    from own
    {% if is_incremental() %}
        union all
        select
            present.symbol,
            moved.first_changed_date
        from moved
        inner join present on moved.calendar_id = present.calendar_id
        -- a coin stands at the euro or at gold by the closes of these
        union all
        select
            coins.symbol,
            own.first_changed_date
        from own
        inner join touched as pegs on own.symbol = pegs.symbol and pegs.is_any_peg
        inner join present as coins on coins.asset_class = 'crypto'
    {% endif %}

),

final as (

    select
        -- keys
        cast(coalesce((select max(previous.last_change_number) from previous), 0) + 1 as integer) as change_number,
        present.symbol,

        -- what changed
        min(first_dates.first_changed_date) as first_changed_date,

        -- what was landed by then, and what was said of the symbol
        any_value(present.landed_count) as landed_count,
        any_value(present.newest_load_id) as newest_load_id,
        any_value(present.calendar_id) as calendar_id,
        any_value(present.placed_by) as placed_by,
        any_value(present.is_peg) as is_peg,
        any_value(present.facts_digest) as facts_digest

    from first_dates
    inner join present on first_dates.symbol = present.symbol
    group by present.symbol

)

select * from final
order by symbol
