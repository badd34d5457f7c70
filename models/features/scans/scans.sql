-- One row per scan of a scanner: when it was answered, under which configuration, and whether all of it arrived.
with answered as (

    select
        load_id,
        scanner_id,
        min(config_hash) as config_hash,
        max(scanned_at_utc) as scanned_at_utc,
        count(*) as row_count
    from {{ ref('stg_scan_rows') }}
    group by load_id, scanner_id

),

loads as (

    select *
    from {{ ref('stg_loads') }}
    where kind = 'scan'

),

final as (

    select
        -- keys
        answered.load_id,
        answered.scanner_id,
        answered.config_hash,

        -- what arrived
        coalesce(loads.status, 'UNKNOWN') as status,
        coalesce(loads.status in ('OK', 'UP_TO_DATE'), false) as is_complete,
        answered.row_count,
        cast(loads.counters ->> 'total_count' as bigint) as universe_count,

        -- times
        answered.scanned_at_utc
    from answered
    left join loads on answered.load_id = loads.load_id
    union all
    select
        loads.load_id,
        configs.scanner_id,
        configs.config_hash,
        loads.status,
        loads.status = 'OK_EMPTY' as is_complete,
        0 as row_count,
        cast(loads.counters ->> 'total_count' as bigint) as universe_count,
        loads.finished_at_utc as scanned_at_utc
    from loads
    -- who failed or found nobody names no scanner in any row
    inner join {{ ref('stg_scanner_configs') }} as configs on loads.config_hash = configs.config_hash
    where
        loads.load_id not in (
            select answered.load_id
            from answered
        )
        -- an equal payload was a scan when it came first
        and loads.status <> 'DUPLICATE'
    union all
    -- a list stands whether the market answers or not
    select
        'list-' || left(config_hash, 16) as load_id,
        scanner_id,
        config_hash,
        'LISTED' as status,
        true as is_complete,
        0 as row_count,
        cast(null as bigint) as universe_count,
        first_seen_utc as scanned_at_utc
    from {{ ref('stg_scanner_configs') }}
    where len(listed_symbols) > 0

)

select * from final
order by scanned_at_utc, scanner_id, load_id
