-- One row per window, configuration and path from the book to a symbol: the product of the weights along it.
with solved as (

    select * from {{ ref('calc_allocations') }}

),

unnested_atoms as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        unnest(weights) as item
    from solved

),

through_atoms as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        item.atom_id as atom_id,
        item.symbol as symbol,
        item.weight as atom_weight,
        case item.direction when 'SHORT' then -1 else 1 end as sign
    from unnested_atoms
    where item.weight > 0

),

unnested_symbols as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        unnest(targets) as item
    from solved
    where len(weights) = 0

),

-- a baseline of symbols holds them without any atom between
straight as (

    select
        run_id,
        window_set,
        window_index,
        config_id,
        cast(null as varchar) as atom_id,
        item.symbol as symbol,
        item.gross_weight as atom_weight,
        1 as sign
    from unnested_symbols

),

paths as (

    select * from through_atoms
    union all
    select * from straight

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        config_id,
        cast(
            row_number() over (
                partition by run_id, config_id, window_index order by symbol, atom_id
            ) as integer
        ) as path,

        -- from the book to the symbol; a run without sleeves is a book of its own
        cast(null as varchar) as sleeve,
        atom_id,
        symbol,

        -- weights along the path
        cast(1 as double) as sleeve_weight,
        atom_weight,
        cast(sign as integer) as sign,
        cast(1 as double) * atom_weight * sign as product

    from paths

)

select * from final
order by config_id, window_index, path
