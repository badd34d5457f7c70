{# Fails with the keys that more than one row has, or that hold a NULL. Of a model that follows changes only the rows
   that were built since are looked at: a key has its session in it, so both rows of a pair are among them. #}
{% test unique_key(model, columns) %}
{% set meta = {} if model is string or not execute
    else graph.nodes.get('model.quantmill.' ~ model.identifier, {}).get('config', {}).get('meta', {}) %}
{% set day = 'as_of_date' if 'as_of_date' in columns else 'session_date' %}
select
    {{ columns | join(', ') }},
    count(*) as row_count
from {{ unchecked(model, day, meta.get('whole_sessions', false)) if meta.get('follows_changes') else model }}
group by {{ columns | join(', ') }}
having count(*) > 1 or {% for column in columns %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}
{% endtest %}
