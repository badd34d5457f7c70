-- One row per scan, scanner and symbol: what the symbol is as of the scan, and what excludes it there.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['load_id', 'scanner_id', 'symbol']
) }}

with scans as (

    select
        scans.load_id,
        scans.scanner_id,
        scans.status,
        scans.scanned_at_utc,
        configs.config_hash,
        configs.index_id,
        configs.venue_class,
        configs.exchanges,
        configs.listed_symbols,
        configs.ensured_symbols,
        configs.excluded_bases,
        configs.allowed_quotes,
        configs.excluded_symbols,
        configs.is_leveraged_out,
        configs.is_pegged_out,
        configs.is_only_pegged
    from {{ ref('scans') }} as scans
    inner join {{ ref('stg_scanner_configs') }} as configs on scans.config_hash = configs.config_hash

),

named_by_hand as (

    select
        load_id,
        scanner_id,
        unnest(list_distinct(list_concat(
            listed_symbols, case when status = 'LISTED' then [] else ensured_symbols end
        ))) as symbol
    from scans

),

-- what a list names is a row, whether the market answered for it or not
rows as (

    select
        coalesce(answered.load_id, named_by_hand.load_id) as load_id,
        coalesce(answered.scanner_id, named_by_hand.scanner_id) as scanner_id,
        coalesce(answered.symbol, named_by_hand.symbol) as symbol,
        coalesce(answered.type, '') as stated_type,
        coalesce(answered.base, '') as stated_base,
        coalesce(answered.quote, '') as stated_quote,
        answered.turnover as scanned_turnover,
        answered.row_number
    from {{ ref('scan_rows') }} as answered
    full outer join named_by_hand
        on
            answered.load_id = named_by_hand.load_id
            and answered.scanner_id = named_by_hand.scanner_id
            and answered.symbol = named_by_hand.symbol

),

-- what is the same for all symbols: another version of the code or of an index may judge every row in another way
common as (

    select
        code_digest() as code_digest,
        (
            select
                coalesce(sum(cast(
                    hash(members.index_id, members.symbol, members.valid_from, members.valid_to) as hugeint
                )), 0)
            from {{ ref('index_members') }} as members
        ) as members_digest

),

{% if knows_inputs() %}
    -- the newest row of a symbol under a configuration stands for the older ones: what was known then includes theirs
    newest as (

        select
            symbol,
            config_hash,
            max(scanned_at_utc) as scanned_at_utc,
            arg_max(inputs_digest, scanned_at_utc) as inputs_digest
        from {{ this }}
        group by symbol, config_hash

    ),

    changed as (

        select
            newest.symbol,
            newest.config_hash
        from newest
        cross join common
        left join {{ ref('stg_scanner_configs') }} as configs on newest.config_hash = configs.config_hash
        asof left join {{ ref('scan_histories') }} as histories
            on newest.symbol = histories.symbol and newest.scanned_at_utc >= histories.known_at_utc
        where newest.inputs_digest is distinct from {{ scan_inputs_digest('configs.index_id') }}

    ),

    kept as (

        select
            earlier.load_id,
            earlier.scanner_id,
            earlier.symbol
        from {{ this }} as earlier
        anti join changed on earlier.symbol = changed.symbol and earlier.config_hash = changed.config_hash

    ),
{% endif %}

wanted as (

    select
        scans.*,
        rows.symbol,
        rows.stated_type,
        rows.stated_base,
        rows.stated_quote,
        rows.scanned_turnover,
        rows.row_number
    from rows
    inner join scans on rows.load_id = scans.load_id and rows.scanner_id = scans.scanner_id
    {% if knows_inputs() %}
        anti join kept
            on rows.load_id = kept.load_id and rows.scanner_id = kept.scanner_id and rows.symbol = kept.symbol
    {% endif %}

),

digested as (

    select
        wanted.*,
        {{ scan_inputs_digest('wanted.index_id') }} as inputs_digest
    from wanted
    cross join common
    asof left join {{ ref('scan_histories') }} as histories
        on wanted.symbol = histories.symbol and wanted.scanned_at_utc >= histories.known_at_utc

),

identities as (

    select
        symbol,
        known_at_utc,
        economic_id,
        median_turnover
    from {{ ref('symbol_identity') }}

),

tags as (

    select
        digested.load_id,
        digested.scanner_id,
        tags.symbol,
        list_sort(list(distinct tags.tag)) as tags
    from digested
    inner join {{ ref('symbol_tags') }} as tags
        on
            digested.symbol = tags.symbol
            and digested.scanned_at_utc >= tags.valid_from
            and (tags.valid_to is null or digested.scanned_at_utc < tags.valid_to)
    group by all

),

-- who was in an index on a day, and whether anybody is known to have been
members as (

    select
        index_id,
        symbol,
        valid_from,
        coalesce(valid_to, date '9999-12-31') as valid_to
    from {{ ref('index_members') }}

),

indexed as (

    select
        digested.load_id,
        digested.scanner_id,
        list(distinct members.symbol) as members
    from (
        select distinct
            load_id,
            scanner_id,
            index_id,
            scanned_at_utc
        from digested
        where index_id is not null
    ) as digested
    inner join members
        on
            digested.index_id = members.index_id
            and cast(digested.scanned_at_utc as date) >= members.valid_from
            and cast(digested.scanned_at_utc as date) < members.valid_to
    group by digested.load_id, digested.scanner_id

),

-- metadata decide first: those of the answer itself, then those landed before it, then the ticker
identified as (

    select
        digested.*,
        names.exchange,
        names.ticker,
        exchanges.priority as exchange_rank,
        coalesce(tags.tags, []) as tags,
        indexed.members,
        coalesce(case when names.named_by = 'metadata' then names.base end, symbols.base, names.base) as base,
        coalesce(case when names.named_by = 'metadata' then names.full_base end, names.full_base) as full_base,
        coalesce(case when names.named_by = 'metadata' then names.quote end, symbols.quote, names.quote) as quote,
        coalesce(
            case when names.stated_type <> '' then names.venue_class end, symbols.venue_class, names.venue_class
        ) as row_venue_class,
        names.profile,
        names.is_ambiguous and symbols.base is null as is_ambiguous,
        coalesce(
            identities.economic_id,
            case when names.named_by = 'metadata' then names.economic_id end,
            symbols.economic_id,
            names.economic_id,
            digested.symbol
        ) as economic_id,
        identities.median_turnover,
        digested.row_number is null and symbols.symbol is null as is_undescribed,
        list_contains(digested.ensured_symbols, digested.symbol) as is_forced
    from digested
    inner join {{ ref('symbol_names') }} as names
        on
            digested.symbol = names.symbol
            and digested.stated_type = names.stated_type
            and digested.stated_base = names.stated_base
            and digested.stated_quote = names.stated_quote
    left join {{ ref('symbols') }} as symbols
        on
            digested.symbol = symbols.symbol
            and digested.scanned_at_utc >= symbols.valid_from
            and (symbols.valid_to is null or digested.scanned_at_utc < symbols.valid_to)
    left join {{ ref('seed_exchanges') }} as exchanges on names.exchange = exchanges.exchange
    left join tags
        on
            digested.load_id = tags.load_id
            and digested.scanner_id = tags.scanner_id
            and digested.symbol = tags.symbol
    left join indexed on digested.load_id = indexed.load_id and digested.scanner_id = indexed.scanner_id
    asof left join identities
        on digested.symbol = identities.symbol and digested.scanned_at_utc >= identities.known_at_utc

),

quoted as (

    select
        identified.*,
        quotes.priority as quote_rank,
        coalesce(quotes.is_dollar, identified.profile <> 'CRYPTO')
        and not (identified.row_venue_class in ('perp', 'dated') and coalesce(identified.quote, '') = 'USD')
            as is_comparable
    from identified
    left join {{ ref('seed_quotes') }} as quotes on identified.quote = quotes.quote and identified.profile = 'CRYPTO'

),

-- exclusions, by what a symbol is and never by how its name begins
excluded as (

    select
        *,
        list_filter(
            [
                -- a broker's price of somebody else's market: for research, never for a book
                case when row_venue_class = 'cfd' then 'CFD_RESEARCH_ONLY:' || economic_id end,
                case
                    when venue_class = 'spot' and row_venue_class <> 'spot' then 'SCAN_VENUE:' || row_venue_class
                    when venue_class = 'perp' and not (row_venue_class = 'perp' and ends_with(ticker, '.P'))
                        then 'SCAN_VENUE:' || row_venue_class
                    when venue_class = 'mixed' and row_venue_class = 'dated' then 'SCAN_VENUE:dated'
                    when len(exchanges) > 0 and not list_contains(exchanges, exchange) then 'SCAN_VENUE:' || exchange
                end,
                case
                    when index_id is not null and members is null then 'NO_MEMBERSHIP_KNOWN:' || index_id
                    when index_id is not null and not list_contains(members, symbol) then 'NOT_A_MEMBER:' || index_id
                end,
                case when is_ambiguous then 'IDENTITY_AMBIGUOUS' end,
                case when list_contains(excluded_symbols, symbol) then 'SYMBOL:' || symbol end,
                case
                    when list_contains(excluded_bases, base) or list_contains(excluded_bases, full_base)
                        then 'BASE:' || base
                end,
                case
                    when len(allowed_quotes) > 0 and not coalesce(list_contains(allowed_quotes, quote), false)
                        then 'QUOTE:' || coalesce(quote, 'none')
                end,
                case when is_leveraged_out and list_contains(tags, 'LEVERAGED') then 'LEVERAGED' end,
                case when is_pegged_out and list_contains(tags, 'PEGGED') then 'PEGGED' end,
                case
                    when is_only_pegged and not list_has_any(tags, ['STABLE', 'FIAT', 'GOLD', 'PEGGED'])
                        then 'NOT_PEGGED'
                end
            ],
            one -> one is not null
        ) as exclusions
    from quoted

),

final as (

    select
        -- keys
        load_id,
        scanner_id,
        symbol,
        config_hash,
        scanned_at_utc,

        -- where its payload is; NULL where a list names it and the market did not answer
        row_number,
        scanned_turnover,

        -- what it is
        exchange,
        row_venue_class,
        economic_id,
        quote_rank,
        exchange_rank,
        is_comparable,
        median_turnover,
        is_undescribed,
        is_forced,

        -- what excludes it
        exclusions,

        -- what all of this was read from
        inputs_digest

    from excluded

)

select * from final
