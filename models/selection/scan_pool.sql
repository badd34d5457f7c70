-- One row per window, scanner and symbol that the newest scan before the decision named as a candidate.
with windows as (

    select windows.*
    from {{ ref('windows') }} as windows
    inner join {{ current_unsealed_run() }} as current_run on windows.run_id = current_run.run_id

),

-- the profile may name a logic of its own for what a scanner finds
stated as (

    select
        generate_subscripts(items, 1) as position,
        unnest(items) as item
    from (
        select
            from_json(
                settings.value,
                '[{"scanner_id": "VARCHAR", "config_hash": "VARCHAR", "logic": "VARCHAR", "direction": "VARCHAR"}]'
            ) as items
        from {{ ref('calc_settings') }} as settings
        where settings.key = 'universe.scanners'
    )

),

scans as (

    select
        stated.position,
        stated.item.logic as logic,
        stated.item.direction as direction,
        scans.scanner_id,
        scans.load_id,
        scans.scanned_at_utc
    from stated
    inner join {{ ref('scans') }} as scans
        on stated.item.scanner_id = scans.scanner_id and stated.item.config_hash = scans.config_hash
    where scans.is_complete

),

-- scanners that never scanned are a data cycle that never ran, not an empty market
checked as (

    select
        case
            when count(stated.position) > 0 and count(scans.load_id) = 0
                then error(
                    'no_scan: no complete scan of '
                    || string_agg(distinct stated.item.scanner_id, ', ' order by stated.item.scanner_id)
                    || ' has landed under the configuration of this profile; run ''make scan-run'' for the profile, or '
                    || 'the whole data cycle with ''make flow-data'''
                )
            else true
        end as has_scans
    from stated
    left join scans on stated.position = scans.position

),

-- `pit`: what was known at the decision; `static`: the newest scan there is, applied to all history
dated as (

    select
        windows.run_id,
        windows.window_set,
        windows.window_index,
        scans.position,
        scans.scanner_id,
        scans.logic,
        scans.direction,
        arg_max(scans.load_id, (scans.scanned_at_utc, scans.load_id)) as load_id
    from windows
    cross join checked
    inner join scans
        on
            checked.has_scans
            and ({{ setting('universe.basis') }} = 'static' or windows.decision_close_utc >= scans.scanned_at_utc)
    group by all

),

final as (

    select
        -- keys
        dated.run_id,
        dated.window_set,
        dated.window_index,
        dated.scanner_id,
        candidates.symbol,

        -- the atom
        dated.logic,
        dated.direction,

        -- what the scan said of it
        dated.position,
        candidates.rank,
        candidates.passes,
        candidates.economic_id,
        candidates.venue_class,
        candidates.vt_rep,
        candidates.is_forced or dated.logic = 'anchor' as is_protected,
        candidates.load_id
    from dated
    inner join {{ ref('scan_candidates') }} as candidates
        on dated.load_id = candidates.load_id and dated.scanner_id = candidates.scanner_id
    where candidates.is_kept

)

select * from final
order by window_set, window_index, scanner_id, symbol
