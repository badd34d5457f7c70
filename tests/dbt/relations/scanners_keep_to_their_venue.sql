-- Fails with candidates of a spot scanner that are no spot listings, and of a perpetual scanner that are no perpetuals.
select
    candidates.load_id,
    candidates.scanner_id,
    candidates.symbol,
    candidates.venue_class,
    configs.venue_class as asked_class
from {{ ref('scan_candidates') }} as candidates
inner join {{ ref('stg_scanner_configs') }} as configs on candidates.config_hash = configs.config_hash
where
    candidates.is_kept
    and (
        (configs.venue_class in ('spot', 'perp') and candidates.venue_class <> configs.venue_class)
        or (configs.venue_class = 'spot' and ends_with(candidates.symbol, '.P'))
        or (configs.venue_class = 'perp' and not ends_with(candidates.symbol, '.P'))
        or candidates.venue_class = 'dated'
    )
