-- One row per version, event and asset class: a stretch of stress that listed instruments must come through.
with events as (

    select * from {{ ref('seed_survival_events') }}

),

-- an empty calendar would let everybody survive
counted as (

    select
        events.*,
        case
            when events.end_date < events.start_date
                then error(
                    'bad_survival_event: ' || events.event_id || ' ends on ' || events.end_date
                    || ', before it starts on ' || events.start_date
                    || '; correct models/features/survival/seed_survival_events.csv'
                )
            else true
        end as is_in_order
    from (
        select
            case
                when count(*) = 0
                    then error(
                        'no_survival_events: the survival calendar is empty, and nobody survives nothing; restore '
                        || 'models/features/survival/seed_survival_events.csv'
                    )
            end as guard
        from {{ ref('seed_survival_events') }}
    ) as guarded
    inner join events on guarded.guard is null

),

final as (

    select
        -- keys
        cast(version as integer) as version,
        event_id,
        asset_class,

        -- when
        cast(start_date as date) as start_date,
        cast(end_date as date) as end_date,

        -- the newest version is the one that is tested
        version = max(version) over () as is_current

    from counted
    where is_in_order

)

select * from final
order by version, event_id, asset_class
