-- One row per window, atom, factor and method: the raw factor, and where it stands among the atoms of the window.
with named as (

    select
        run_id,
        window_set,
        window_index,
        atom_id,
        symbol,
        direction,
        unnest([
            struct_pack(factor := 'momentum', raw_value := momentum, method := 'rank', is_critical := true),
            struct_pack(factor := 'stability', raw_value := stability, method := 'rank', is_critical := true),
            struct_pack(factor := 'liquidity', raw_value := liquidity, method := 'identity', is_critical := true),
            struct_pack(factor := 'antifragility', raw_value := antifragility, method := 'rank', is_critical := false),
            struct_pack(factor := 'survival', raw_value := survival, method := 'identity', is_critical := true),
            struct_pack(factor := 'efficiency', raw_value := efficiency, method := 'identity', is_critical := false),
            struct_pack(factor := 'entropy', raw_value := entropy, method := 'rank_desc', is_critical := false),
            struct_pack(factor := 'hurst_clean', raw_value := hurst_clean, method := 'rank', is_critical := false),
            struct_pack(factor := 'adx', raw_value := adx, method := 'cdf', is_critical := false),
            struct_pack(factor := 'skew', raw_value := downside_skew, method := 'rank_desc', is_critical := false),
            struct_pack(factor := 'kurtosis', raw_value := kurtosis, method := 'rank_desc', is_critical := false),
            struct_pack(factor := 'cvar', raw_value := cvar, method := 'cdf', is_critical := true)
        ]) as item
    from {{ ref('atom_factors') }}

),

-- infinity is no value; the sign makes higher better for every method
valued as (

    select
        named.* exclude (item),
        named.item.factor as factor,
        named.item.method as method,
        named.item.is_critical as is_critical,
        case when isfinite(named.item.raw_value) then named.item.raw_value end as raw_value,
        case when isfinite(named.item.raw_value) then named.item.raw_value end
        * case named.item.method when 'rank_desc' then -1 else 1 end as good_value,
        {{ setting('bars.volume') }} = 'absent' and named.item.factor in ('liquidity', 'adx') as is_undeclared
    from named

),

-- the sums stand in the order of atom_id, so that they do not depend on the order of rows
placed as (

    select
        *,
        count(good_value) over peers as value_count,
        rank() over (partition by window_set, window_index, factor order by good_value asc nulls last)
        + (count(*) over (partition by window_set, window_index, factor, good_value) - 1) / 2.0 as average_rank,
        avg(good_value) over peers as mean,
        stddev_samp(good_value) over peers as deviation
    from valued
    window peers as (
        partition by window_set, window_index, factor
        order by atom_id
        rows between unbounded preceding and unbounded following
    )

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        atom_id,
        factor,
        method,

        -- the atom
        symbol,
        direction,

        -- what is missing by declaration says nothing; what is missing for one atom counts against it where it is vital
        raw_value,
        case
            when is_undeclared then 0.5
            when good_value is null and is_critical then 0.01
            when good_value is null then 0.5
            when method in ('rank', 'rank_desc') and value_count = 1 then 0.505
            when method in ('rank', 'rank_desc') then 0.01 + 0.99 * (average_rank - 1) / (value_count - 1)
            when method = 'identity' then greatest(0.001, least(1.0, good_value))
            when method = 'cdf'
                then
                    greatest(
                        0.001,
                        least(1.0, normal_cdf((good_value - mean) / (coalesce(deviation, 0) + 1e-9)))
                    )
        end as probability,
        is_undeclared or good_value is null as is_imputed

    from placed

)

select * from final
order by window_set, window_index, atom_id, factor
