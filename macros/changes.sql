{# How a day's bars cost a day's work: docs/incremental.md says it in words.

   work.bar_changes notes which symbols changed and from which session on, one change after the other.
   work.built_models notes up to which change each model that follows is built, and by which code.
   work.pending_changes(model) is what a model has not been built for yet: symbols with the first session to replace.
   work.passed_checks notes up to which change each test of such a model has passed. #}
{% macro note_builds() %}
    {% if execute and flags.WHICH in ('build', 'run', 'test') %}
        {% do run_query("create schema if not exists work") %}
        {% do run_query("create table if not exists work.built_models (
            model varchar not null, change_number integer not null, code_digest varchar not null)") %}
        {# Rows of other code, or of a table that is gone, are made again from the first session on. #}
        {% do run_query("delete from work.built_models where code_digest <> features_digest()
            or model not in (select table_name from duckdb_tables() where database_name = current_database())"
            ~ (" or true" if flags.FULL_REFRESH else "")) %}
        {% do run_query("create table if not exists work.passed_checks (
            check_name varchar not null, change_number integer not null, code_digest varchar not null)") %}
        {% set kept = run_query("select count(*) from duckdb_tables()
            where schema_name = 'work' and table_name = 'bar_changes'").columns[0].values()[0] %}
        {% if not kept %}
            {% do run_query("delete from work.built_models") %}
        {% endif %}
        {# A table that is made anew is judged anew, and so is everything by other checks. #}
        {% do run_query("delete from work.passed_checks where code_digest <> checks_digest()
            or exists (select 1 from (select unnest(" ~ followers() ~ ") as model)
                where model not in (select built.model from work.built_models as built))") %}
    {% endif %}
{% endmacro %}

{# The models that follow changes, as a list of SQL. #}
{% macro followers() -%}
    [{% for node in graph.nodes.values() if node.config.get('meta', {}).get('follows_changes') -%}
        '{{ node.name }}'{{ ', ' if not loop.last }}
    {%- endfor %}]::varchar[]
{%- endmacro %}

{% macro define_pending_changes() -%}
    create or replace macro work.pending_changes(follower) as table
    select
        changes.symbol,
        min(case when built.model is null then date '0001-01-01' else changes.first_changed_date end)
            as first_changed_date
    from work.bar_changes as changes
    left join work.built_models as built on built.model = follower
    where built.model is null or changes.change_number > built.change_number
    group by changes.symbol
{%- endmacro %}

{# The rows of a model that follows changes which a test of it has not passed yet: what was built since, and everything
   where the test is new, the table was made anew, or somebody asks with dbt test. A row that was not written since
   cannot have become wrong. Tests that read it are noted when they pass. #}
{% macro unchecked(relation, column='session_date', whole_sessions=false) -%}
    {% set note = "/* follows changes */ " %}
    {% if not (execute and flags.WHICH == 'build') %}
        {{- note }}{{ relation -}}
    {% else %}
        {% set since = run_query("select checks.change_number, (select min(changes.first_changed_date)
            from work.bar_changes as changes where changes.change_number > checks.change_number)
            from work.passed_checks as checks where checks.check_name = '" ~ this.identifier ~ "'").rows %}
        {% if since | length == 0 %}
            {{- note }}{{ relation -}}
        {% elif since[0][1] is none %}
            {{- note }}(select * from {{ relation }} where false)
        {% elif whole_sessions %}
            {{- note }}(select * from {{ relation }} where {{ column }} >= date '{{ since[0][1] }}')
        {% else %}
            {{- note }}(
                select kept.*
                from {{ relation }} as kept
                inner join (
                    select symbol, min(first_changed_date) as first_changed_date
                    from work.bar_changes where change_number > {{ since[0][0] }} group by symbol
                ) as changes
                    on kept.symbol = changes.symbol
                where coalesce(kept.{{ column }}, date '9999-12-31') >= changes.first_changed_date
                    and (kept.{{ column }} is null or kept.{{ column }} >= date '{{ since[0][1] }}')
            )
        {%- endif %}
    {% endif %}
{%- endmacro %}

{# The same for a test of a key, which has its session in it where the model follows changes; else the whole model. #}
{% macro unchecked_keys(model, columns) -%}
    {% set known = execute and model is not string %}
    {% set node = graph.nodes.get('model.quantmill.' ~ model.identifier, {}) if known else {} %}
    {% set meta = node.get('config', {}).get('meta', {}) %}
    {% set day = 'as_of_date' if 'as_of_date' in columns else 'session_date' %}
    {{- unchecked(model, day, meta.get('whole_sessions', false)) if meta.get('follows_changes') else model -}}
{%- endmacro %}

{# At the end of a build: up to which change the tests that passed have seen the tables. #}
{% macro note_checks(results) %}
    {% if execute and flags.WHICH in ('build', 'test') %}
        {% set passed = [] %}
        {% for result in results if result.node.resource_type == 'test' and result.status == 'pass'
            and '/* follows changes */' in (result.node.compiled_code or '') %}
            {% do passed.append("('" ~ result.node.alias ~ "')") %}
        {% endfor %}
        {% if passed %}
            {% do run_query("delete from work.passed_checks where check_name in (" ~ passed | join(', ') ~ ");
                insert into work.passed_checks
                select passed.check_name, built.change_number, checks_digest()
                from (values " ~ passed | join(', ') ~ ") as passed (check_name)
                cross join (select min(change_number) as change_number from work.built_models) as built
                where built.change_number is not null") %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# Symbols and the first session that a model has to replace: columns symbol and first_changed_date. #}
{% macro pending(model_name) -%}
    work.pending_changes('{{ model_name }}')
{%- endmacro %}

{# The same as one day, for models whose rows of a session read several symbols; NULL where nothing changed. #}
{% macro first_pending_date(model_name) -%}
    (select min(first_changed_date) from work.pending_changes('{{ model_name }}'))
{%- endmacro %}

{# Before a model adds the rows of the sessions that changed, those that it has go. #}
{% macro forget_changed(column='session_date') -%}
    {% if is_incremental() %}
        delete from {{ this }} as kept
        using {{ pending(this.identifier) }} as changes
        where kept.symbol = changes.symbol
            and (kept.{{ column }} is null or kept.{{ column }} >= changes.first_changed_date)
    {% endif %}
{%- endmacro %}

{% macro forget_from_first_change(column='session_date') -%}
    {% if is_incremental() %}
        delete from {{ this }} where {{ column }} >= {{ first_pending_date(this.identifier) }}
    {% endif %}
{%- endmacro %}

{# Within the transaction of the model: what was built is known if and only if it is there. #}
{% macro remember_build() -%}
    delete from work.built_models where model = '{{ this.identifier }}';
    insert into work.built_models
    select '{{ this.identifier }}', coalesce(max(change_number), 0), features_digest() from work.bar_changes
{%- endmacro %}

{# A model that follows changes is built anew where nothing says what it was built for. #}
{% macro should_full_refresh() %}
    {% if config.get('meta', {}).get('follows_changes') and execute and flags.WHICH in ('build', 'run') %}
        {% do return(run_query("select count(*) from work.built_models where model = '" ~ this.identifier ~ "'")
            .columns[0].values()[0] == 0) %}
    {% endif %}
    {# Without a model that was built for a change, changes are counted from the beginning. #}
    {% if this.identifier == 'bar_changes' and execute and flags.WHICH in ('build', 'run') %}
        {% do return(run_query("select count(*) from work.built_models").columns[0].values()[0] == 0) %}
    {% endif %}
    {% set configured = config.get('full_refresh') %}
    {% do return(flags.FULL_REFRESH if configured is none else configured) %}
{% endmacro %}

{# Changes that every model was built for and every test of them has seen are settled; of each symbol the newest stays,
   to be compared with. #}
{% macro forget_settled_changes() -%}
    {% if is_incremental() %}
        delete from {{ this }} as changes
        where change_number <= (
                select min(change_number) from (
                    select change_number from work.built_models union all select change_number from work.passed_checks
                )
            )
            and change_number < (select max(change_number) from {{ this }} as newer where newer.symbol = changes.symbol)
    {% endif %}
{%- endmacro %}
