-- One row per basis, measure and subject of the comparison with a vendor: what was found, and whether it is enough.
with bases as (

    select unnest(['closed', 'running']) as basis

),

subjects as (

    select unnest(['all', 'ma', 'other']) as subject

),

limits as (

    select
        unnest(['mean_absolute_error', 'sign_agreement', 'correlation', 'rank_correlation']) as measure,
        unnest([0.05, 1.0, 0.98, 0.9]) as limit_value

),

measures as (

    select
        'vote_agreement' as measure,
        component as subject,
        0.95 as limit_value
    from {{ ref('rating_components') }}
    union all
    select
        limits.measure,
        subjects.subject,
        limits.limit_value
    from limits
    cross join subjects

),

-- ranks of equal values are their mean
ratings as (

    select
        *,
        case when is_intrabar then 'running' else 'closed' end as basis,
        rank() over (partition by is_intrabar, rating order by local_value)
        + count(*) over (partition by is_intrabar, rating, local_value) / 2.0 as local_rank,
        rank() over (partition by is_intrabar, rating order by vendor_value)
        + count(*) over (partition by is_intrabar, rating, vendor_value) / 2.0 as vendor_rank
    from {{ ref('rating_parity') }}
    where is_warm and local_value is not null

),

summed as (

    select
        basis,
        rating as subject,
        count(distinct symbol) as symbol_count,
        count(*) as observation_count,
        -- the order of rows must not decide the last digit
        round(avg(abs(local_value - vendor_value)), 12) as mean_absolute_error,
        avg(cast(is_same_sign as integer)) filter (where abs(vendor_value) > 0.1) as sign_agreement,
        count(distinct symbol) filter (where abs(vendor_value) > 0.1) as signed_symbol_count,
        count(*) filter (where abs(vendor_value) > 0.1) as signed_count,
        round(corr(local_value, vendor_value), 12) as correlation,
        round(corr(local_rank, vendor_rank), 12) as rank_correlation
    from ratings
    group by basis, rating

),

listed as (

    unpivot summed
    on mean_absolute_error, sign_agreement, correlation, rank_correlation
    into name measure value value

),

found as (

    select
        basis,
        subject,
        measure,
        value,
        case when measure = 'sign_agreement' then signed_symbol_count else symbol_count end as symbol_count,
        case when measure = 'sign_agreement' then signed_count else observation_count end as observation_count
    from listed
    union all
    select
        case when is_intrabar then 'running' else 'closed' end as basis,
        component as subject,
        'vote_agreement' as measure,
        avg(cast(is_same_vote as integer)) as value,
        count(distinct symbol) as symbol_count,
        count(*) as observation_count
    from {{ ref('rating_vote_parity') }}
    where is_warm and local_vote is not null
    group by all

),

joined as (

    select
        bases.basis,
        measures.measure,
        measures.subject,
        found.value,
        measures.limit_value,
        cast(coalesce(found.symbol_count, 0) as integer) as symbol_count,
        cast(coalesce(found.observation_count, 0) as integer) as observation_count,
        -- NaN is the correlation of values that do not vary
        isfinite(found.value)
        and case measures.measure
            when 'mean_absolute_error' then found.value <= measures.limit_value
            else found.value >= measures.limit_value
        end as is_enough
    from bases
    cross join measures
    left join found
        on
            bases.basis = found.basis
            and measures.measure = found.measure
            and measures.subject = found.subject

),

final as (

    select
        -- keys
        basis,
        measure,
        subject,

        -- what was found
        case when isfinite(value) then value end as value,
        cast(limit_value as double) as limit_value,
        symbol_count,
        observation_count,

        -- what it says
        case
            when symbol_count < 10 or value is null or not isfinite(value) then 'insufficient'
            when basis = 'running' then 'informational'
            when is_enough then 'ok'
            else 'failed'
        end as status,
        case
            when symbol_count = 0 then 'the vendor told nothing of it on a warm bar'
            when symbol_count < 10 then symbol_count || ' symbols with warm bars; 10 are needed'
            when value is null or not isfinite(value) then 'the values do not vary'
            when basis = 'running' then 'the vendor spoke of a bar that still ran'
            when not is_enough then 'beyond its limit'
        end as reason

    from joined

)

select * from final
order by basis, measure, subject
