-- One row per scan, scanner and symbol that the market answered with: what identifies and ranks it, read once.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['load_id', 'scanner_id', 'symbol']
) }}

with code as (

    select code_digest() as code_digest

),

-- what is landed never changes: only another version of the code would read it in another way
wanted as (

    select load_id
    from {{ ref('stg_scan_rows') }}
    {% if is_incremental() %}
        except
        select earlier.load_id
        from {{ this }} as earlier
        inner join code on earlier.code_digest = code.code_digest
    {% else %}
        group by load_id
    {% endif %}

),

landed as (

    select
        rows.load_id,
        rows.row_number,
        rows.scanner_id,
        rows.config_hash,
        rows.symbol,
        rows.type,
        rows.subtype,
        rows.description,
        rows.base,
        rows.quote,
        rows.close,
        rows.turnover,
        rows.scanned_at_utc,
        code.code_digest
    from {{ ref('stg_scan_rows') }} as rows
    semi join wanted on rows.load_id = wanted.load_id
    cross join code

),

-- a row that came again on a later page is the same row
final as (

    select *
    from landed
    qualify row_number() over (partition by load_id, scanner_id, symbol order by row_number) = 1

)

select * from final
