-- One row per scanner configuration that was ever used: its gates, exclusions and ranks, typed.
with source as (

    select * from {{ source('raw', 'scanner_configs') }}

),

parsed as (

    select
        config_hash,
        scanner_id,
        first_seen_utc,
        from_json(resolved, '{
            "direction": "VARCHAR", "logic": "VARCHAR", "status": "VARCHAR", "market": "VARCHAR",
            "index_id": "VARCHAR", "venue_class": "VARCHAR", "exchanges": ["VARCHAR"], "symbols": ["VARCHAR"], "ensure_symbols": ["VARCHAR"],
            "prefilter_limit": "INTEGER", "top_bases": "INTEGER", "base_limit": "INTEGER",
            "gates": [{"gate": "VARCHAR", "field": "VARCHAR", "operation": "VARCHAR", "threshold": "DOUBLE"}],
            "gate_logic": "VARCHAR",
            "exclusions": {
                "bases": ["VARCHAR"], "quotes": ["VARCHAR"], "symbols": ["VARCHAR"], "is_leveraged_out": "BOOLEAN",
                "is_pegged_out": "BOOLEAN", "only_pegged": "BOOLEAN"
            },
            "median_turnover_min": "DOUBLE", "ranks": [{"field": "VARCHAR", "order": "VARCHAR"}], "limit": "INTEGER",
            "category": "VARCHAR"
        }') as resolved
    from source

),

final as (

    select
        -- keys
        config_hash,
        scanner_id,

        -- what it looks for
        resolved.direction as direction,
        resolved.logic as logic,
        resolved.status as status,
        resolved.category as category,

        -- where
        resolved.market as market,
        resolved.index_id as index_id,
        resolved.venue_class as venue_class,
        coalesce(resolved.exchanges, []) as exchanges,
        coalesce(resolved.symbols, []) as listed_symbols,
        coalesce(resolved.ensure_symbols, []) as ensured_symbols,

        -- layer 1
        resolved.prefilter_limit as prefilter_limit,

        -- layer 2
        coalesce(resolved.exclusions.bases, []) as excluded_bases,
        coalesce(resolved.exclusions.quotes, []) as allowed_quotes,
        coalesce(resolved.exclusions.symbols, []) as excluded_symbols,
        coalesce(resolved.exclusions.is_leveraged_out, false) as is_leveraged_out,
        coalesce(resolved.exclusions.is_pegged_out, false) as is_pegged_out,
        coalesce(resolved.exclusions.only_pegged, false) as is_only_pegged,
        resolved.top_bases as top_base_count,
        resolved.base_limit as base_limit,
        coalesce(resolved.gates, []) as gates,
        resolved.gate_logic as gate_logic,

        -- layer 3
        resolved.median_turnover_min as median_turnover_min,
        resolved.ranks as ranks,
        resolved.limit as candidate_limit,

        -- times
        first_seen_utc

    from parsed

)

select * from final
