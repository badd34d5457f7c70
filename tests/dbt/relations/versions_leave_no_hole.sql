-- Fails with versions of symbols or limits that do not begin where the one before ended, or whose last one is not open.
with versions as (

    select
        'symbols' as relation,
        symbol,
        valid_from,
        valid_to
    from {{ ref('symbols') }}
    union all
    select
        'execution_limits' as relation,
        symbol,
        valid_from,
        valid_to
    from {{ ref('execution_limits') }}

),

followed as (

    select
        *,
        lead(valid_from) over (partition by relation, symbol order by valid_from) as next_from
    from versions

)

select *
from followed
where valid_to is distinct from next_from or valid_to <= valid_from
