-- One row per scanner and candidate of its newest scan: which of its trading limits the venue itself has stated.
with newest as (

    select
        load_id,
        scanner_id,
        scanned_at_utc
    from {{ ref('scans') }}
    where is_complete
    qualify row_number() over (partition by scanner_id order by scanned_at_utc desc, load_id desc) = 1

),

candidates as (

    select
        newest.scanner_id,
        newest.load_id,
        newest.scanned_at_utc,
        candidates.symbol
    from newest
    inner join {{ ref('scan_candidates') }} as candidates
        on newest.load_id = candidates.load_id and newest.scanner_id = candidates.scanner_id
    where candidates.is_kept

),

-- an exchange-traded instrument has its tick and precision from its listing, and trades in single units
described as (

    select
        candidates.*,
        limits.tick_size is not null
        or (symbols.venue_class = 'listed' and symbols.tick_size is not null) as has_tick_size,
        limits.lot_size is not null or symbols.venue_class = 'listed' as has_lot_size,
        coalesce(limits.price_precision, symbols.price_precision) is not null as has_price_precision
    from candidates
    left join {{ ref('symbols') }} as symbols
        on candidates.symbol = symbols.symbol and symbols.valid_to is null
    left join {{ ref('execution_limits') }} as limits
        on candidates.symbol = limits.symbol and limits.source = 'exchange' and limits.valid_to is null
    where coalesce(symbols.is_active, true)

),

covered as (

    select
        *,
        coalesce(has_tick_size and has_lot_size and has_price_precision, false) as is_covered
    from described

),

final as (

    select
        -- keys
        scanner_id,
        symbol,

        -- the scan
        load_id,
        scanned_at_utc,

        -- what is known of the symbol
        coalesce(has_tick_size, false) as has_tick_size,
        coalesce(has_lot_size, false) as has_lot_size,
        coalesce(has_price_precision, false) as has_price_precision,
        is_covered,

        -- what is known of all candidates of the scanner
        count(*) over by_scanner as candidate_count,
        avg(cast(is_covered as integer)) over by_scanner as coverage,
        avg(cast(is_covered as integer)) over by_scanner >= 0.95 as is_coverage_met

    from covered
    window by_scanner as (partition by scanner_id)

)

select * from final
order by scanner_id, symbol
