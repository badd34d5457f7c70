-- One row per symbol, tag and validity interval: what makes a symbol no directional asset.
with named as (

    select distinct
        names.symbol,
        names.base,
        names.full_base,
        names.venue_class
    from {{ ref('symbol_names') }} as names
    where names.profile = 'CRYPTO'

),

declared as (

    select
        named.symbol,
        sets.tag,
        'declared' as origin
    from named
    inner join {{ ref('seed_asset_sets') }} as sets on named.base = sets.asset

),

said as (

    select symbol
    from {{ ref('stg_execution_limits') }}
    where is_leveraged
    union
    select symbol
    from {{ ref('stg_symbols') }}
    where contains(subtype, 'leverag') or regexp_matches(description, '(?i)leverag|\b\d+x\b')
    union
    select symbol
    from {{ ref('scan_rows') }}
    where contains(subtype, 'leverag') or regexp_matches(description, '(?i)leverag|\b\d+x\b')

),

-- a name that ends like a leveraged token is one only where the venue or the vendor says so: JUP is a coin
leveraged as (

    select distinct
        named.symbol,
        'LEVERAGED' as tag,
        'metadata' as origin
    from named
    inner join said on named.symbol = said.symbol
    where regexp_matches(named.full_base, '(UP|DOWN|BULL|BEAR)$')

),

-- sessions that follow one another at a peg are one interval, known from the close of the first
numbered as (

    select
        sessions.symbol,
        sessions.session_date,
        sessions.known_at_utc,
        lead(sessions.known_at_utc) over by_symbol as next_known_utc,
        pegged.symbol is not null as is_pegged
    from {{ ref('session_bars') }} as sessions
    left join {{ ref('peg_sessions') }} as pegged
        on sessions.symbol = pegged.symbol and sessions.session_date = pegged.session_date
    where
        sessions.symbol in (
            select peg_sessions.symbol
            from {{ ref('peg_sessions') }} as peg_sessions
        )
    window by_symbol as (partition by sessions.symbol order by sessions.session_date)

),

islands as (

    select
        *,
        sum(cast(not is_pegged as integer)) over (partition by symbol order by session_date) as island
    from numbered

),

detected as (

    select
        symbol,
        'PEGGED' as tag,
        'detector' as origin,
        min(known_at_utc) as valid_from,
        -- an interval that reaches the newest bar is open
        case when bool_or(next_known_utc is null) then null else max(next_known_utc) end as valid_to
    from islands
    where is_pegged
    group by symbol, island

),

final as (

    select
        symbol,
        tag,
        origin,
        timestamp '1970-01-01 00:00:00' as valid_from,
        cast(null as timestamp) as valid_to
    from declared
    union all
    select
        symbol,
        tag,
        origin,
        timestamp '1970-01-01 00:00:00' as valid_from,
        cast(null as timestamp) as valid_to
    from leveraged
    union all
    select
        symbol,
        tag,
        origin,
        valid_from,
        valid_to
    from detected

)

select * from final
order by symbol, tag, valid_from
