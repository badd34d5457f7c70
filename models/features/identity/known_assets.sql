-- One row per asset that is known as one: seen as a base in metadata, limits or scans, or a member of a declared set.
with seen as (

    select base as asset
    from {{ ref('stg_symbols') }}
    where coalesce(asset_class, 'crypto') = 'crypto' and coalesce(type, 'spot') in ('spot', 'swap', 'futures', 'crypto')
    union
    select base as asset
    from {{ ref('scan_rows') }}
    where type in ('spot', 'swap', 'futures', 'crypto')
    union
    select base as asset
    from {{ ref('stg_execution_limits') }}
    union
    select asset
    from {{ ref('seed_asset_sets') }}

),

final as (

    select
        seen.asset,
        coalesce(declared.is_currency_code, false) as is_currency_code
    from seen
    left join {{ ref('seed_asset_sets') }} as declared on seen.asset = declared.asset
    where seen.asset is not null

)

select * from final
order by asset
