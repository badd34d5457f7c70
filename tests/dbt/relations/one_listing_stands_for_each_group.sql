-- Fails with groups of an as-of date that nobody or more than one stands for, or that mix kinds of venues.
select
    as_of_date,
    identity_group,
    count(*) filter (where is_representative) as representative_count,
    min(venue_class) as first_venue_class,
    max(venue_class) as last_venue_class
from {{ unchecked(ref('symbol_identity'), 'as_of_date', whole_sessions=true) }}
group by as_of_date, identity_group
having count(*) filter (where is_representative) <> 1 or min(venue_class) <> max(venue_class)
