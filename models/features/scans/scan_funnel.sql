-- One row per scan, scanner and stage: how many symbols were there, and how many the stage took away.
with scans as (

    select * from {{ ref('scans') }}

),

stages as (

    select
        load_id,
        scanner_id,
        coalesce(drop_stage, 'selected') as stage,
        count(*) as dropped_count,
        case coalesce(drop_stage, 'selected')
            when 'scan' then 1
            when 'exclusion' then 2
            when 'base' then 3
            when 'market_cap' then 4
            when 'volatility' then 5
            when 'liquidity' then 6
            when 'recent_perf' then 7
            when 'eligibility' then 9
            when 'identity' then 10
            when 'limit' then 11
            when 'selected' then 12
            else 8
        end as stage_order
    from {{ ref('scan_candidates') }}
    group by load_id, scanner_id, coalesce(drop_stage, 'selected')

),

-- a scan that brought nothing is a funnel of one stage
listed as (

    select
        scans.load_id,
        scans.scanner_id,
        scans.scanned_at_utc,
        scans.status,
        scans.universe_count,
        coalesce(sum(stages.dropped_count), 0) as fetched_count
    from scans
    left join stages on scans.load_id = stages.load_id and scans.scanner_id = stages.scanner_id
    group by all

),

counted as (

    select
        load_id,
        scanner_id,
        'fetched' as stage,
        0 as stage_order,
        0 as dropped_count
    from listed
    union all
    select
        load_id,
        scanner_id,
        stage,
        stage_order,
        case when stage = 'selected' then 0 else dropped_count end as dropped_count
    from stages

),

final as (

    select
        -- keys
        counted.load_id,
        counted.scanner_id,
        counted.stage,

        -- the scan
        listed.scanned_at_utc,
        listed.status,
        cast(listed.universe_count as integer) as universe_count,

        -- the stage
        cast(row_number() over by_stage as integer) as stage_number,
        cast(listed.fetched_count as integer) as fetched_count,
        cast(counted.dropped_count as integer) as dropped_count,
        cast(listed.fetched_count - sum(counted.dropped_count) over by_stage as integer) as remaining_count
    from counted
    inner join listed on counted.load_id = listed.load_id and counted.scanner_id = listed.scanner_id
    window by_stage as (
        partition by counted.load_id, counted.scanner_id
        order by counted.stage_order, counted.stage
    )

)

select * from final
order by load_id, scanner_id, stage_number
