{# Copies the workbench compactly beside the published snapshot and renames it over the old one. Readers keep the file
   they opened; new readers see the new one. Unsealed runs and the private schema `work` stay behind. #}
{% macro publish() %}
    {% do run_query("detach database if exists published") %}
    {% set staged = run_query("select publish_prepare()").columns[0].values()[0] %}
    {% do run_query("attach '" ~ staged | replace("'", "''") ~ "' as published (storage_version 'v1.2.0')") %}
    {# A dropped table leaves its blocks in the file, so what stays behind is not copied in the first place. #}
    {% do run_query("copy from database " ~ target.database ~ " to published (schema)") %}
    {% do run_query("drop schema published.work cascade") %}
    {% set tables = run_query("select '\"' || schema_name || '\".\"' || table_name || '\"' from duckdb_tables()
        where database_name = 'published' and not internal order by all").columns[0].values() %}
    {% for table in tables %}
        {% do run_query("insert into published." ~ table ~ " select * from " ~ target.database ~ "." ~ table) %}
    {% endfor %}
    {% do forget_unsealed_runs() %}
    {% do run_query("checkpoint published") %}
    {% do run_query("detach published") %}
    {% set path = run_query("select publish_swap('" ~ staged | replace("'", "''") ~ "')").columns[0].values()[0] %}
    {% do log('published: ' ~ path, info=true) %}
{% endmacro %}

{% macro forget_unsealed_runs() %}
    {% set unsealed = run_query(
        "select count(*) from published.selection.runs where status <> 'sealed'"
    ).columns[0].values()[0] %}
    {% if unsealed %}
        {% set tables = run_query("select schema_name || '.' || table_name from duckdb_columns()
            where database_name = 'published' and column_name = 'run_id' and table_name not in ('runs', 'runs_latest') and not internal"
        ).columns[0].values() %}
        {% for table in tables %}
            {% do run_query("delete from published." ~ table ~ " where run_id in
                (select run_id from published.selection.runs where status <> 'sealed')") %}
        {% endfor %}
        {% do run_query("delete from published.selection.runs where status <> 'sealed'") %}
    {% endif %}
{% endmacro %}
