{# Who stands for a group of listings of one thing: the one algorithm for it. `relation` has columns symbol, exchange,
   venue_class, quote_rank and exchange_rank (1 is best, NULL is last) and liquidity (NULL counts as none); `keys` name
   the group. The best quote whose liquidity reaches 30 % of the group's largest, then the best exchange that reaches
   50 % of the best of that quote, then the larger liquidity, then the symbol. What an atom is expected to earn plays no
   part, nor does the order of the rows. Adds place (1 stands for the group), group_size, group_liquidity, and on the
   row of place 1 kept_because and alternatives (the others, JSON text). #}
{% macro representatives(relation, keys) -%}
    with member_lists as (
        select {{ keys | join(', ') }}, list(members) as members
        from {{ relation }} as members
        group by all
    ),

    large as (
        select *, 0.3 * list_max([coalesce(one.liquidity, 0) for one in members]) as least_large
        from member_lists
    ),

    quoted as (
        select
            *,
            list_min([coalesce(one.quote_rank, 999) for one in members if coalesce(one.liquidity, 0) >= least_large])
                as best_quote
        from large
    ),

    best as (
        select
            *,
            [
                coalesce(one.liquidity, 0) for one in members
                if coalesce(one.liquidity, 0) >= least_large and coalesce(one.quote_rank, 999) = best_quote
            ] as best_liquidity
        from quoted
    ),

    near as (
        select *, greatest(0.5 * list_max(best_liquidity), least_large) as least_near
        from best
    ),

    ordered as (
        select
            *,
            list_sort([
                struct_pack(
                    is_far := coalesce(one.liquidity, 0) < least_near or coalesce(one.quote_rank, 999) <> best_quote,
                    exchange_order := case
                        when coalesce(one.liquidity, 0) >= least_near and coalesce(one.quote_rank, 999) = best_quote
                            then coalesce(one.exchange_rank, 999)
                    end,
                    lack := -coalesce(one.liquidity, 0), symbol := one.symbol, member := one
                ) for one in members
            ]) as ranked
        from near
    ),

    placed as (
        select *, unnest(ranked) as seat, generate_subscripts(ranked, 1) as place
        from ordered
    )

    select
        unnest(seat.member),
        place,
        len(ranked) as group_size,
        list_sum([one.member.liquidity for one in ranked]) as group_liquidity,
        case
            when place > 1 then null
            when len(ranked) = 1 then 'ONLY'
            when len(best_liquidity) = 1 then 'QUOTE'
            when not ranked[2].is_far and ranked[2].exchange_order > ranked[1].exchange_order then 'EXCHANGE'
            when not ranked[2].is_far and ranked[2].lack = ranked[1].lack then 'SYMBOL'
            else 'LIQUIDITY'
        end as kept_because,
        case
            when place = 1 and len(ranked) > 1
                then cast(to_json([
                    struct_pack(
                        symbol := one.symbol, venue := one.member.exchange, type := one.member.venue_class,
                        liquidity := one.member.liquidity
                    ) for one in ranked[2:]
                ]) as varchar)
        end as alternatives
    from placed
{%- endmacro %}
