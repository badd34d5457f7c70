-- One row per symbol that scans name and instant at which what is known of it changed: a digest of all known so far.
with named as (

    select symbol
    from {{ ref('scan_rows') }}
    union
    select unnest(list_concat(listed_symbols, ensured_symbols)) as symbol
    from {{ ref('stg_scanner_configs') }}

),

-- each fact from the instant at which it holds, and its end from that at which it does no more: what is judged at an
-- instant reads nothing else, so an equal sum of digests up to it is an equal judgement
facts as (

    select
        symbol,
        timestamp '1970-01-01 00:00:00' as known_at_utc,
        hash(
            'named', stated_type, stated_base, stated_quote, exchange, ticker, profile, venue_class, full_base, base,
            quote, economic_id, named_by, is_ambiguous
        ) as digest
    from {{ ref('symbol_names') }}
    union all
    select
        symbol,
        valid_from as known_at_utc,
        hash('tag', tag, valid_from) as digest
    from {{ ref('symbol_tags') }}
    union all
    select
        symbol,
        valid_to as known_at_utc,
        hash('untag', tag, valid_from) as digest
    from {{ ref('symbol_tags') }}
    where valid_to is not null
    union all
    select
        symbol,
        valid_from as known_at_utc,
        hash('described', base, quote, venue_class, economic_id) as digest
    from {{ ref('symbols') }}
    union all
    select
        symbol,
        valid_to as known_at_utc,
        hash('ended', base, quote, venue_class, economic_id) as digest
    from {{ ref('symbols') }}
    where valid_to is not null
    union all
    select
        symbol,
        known_at_utc,
        hash('identified', known_at_utc, economic_id, median_turnover) as digest
    from {{ ref('symbol_identity') }}

),

changes as (

    select
        facts.symbol,
        facts.known_at_utc,
        sum(cast(facts.digest as hugeint)) as digest
    from facts
    inner join named on facts.symbol = named.symbol
    group by facts.symbol, facts.known_at_utc

),

final as (

    select
        symbol,
        known_at_utc,
        sum(digest) over (partition by symbol order by known_at_utc) as history_digest
    from changes

)

select * from final
order by symbol, known_at_utc
