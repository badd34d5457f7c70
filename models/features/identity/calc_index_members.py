# One row per index, symbol and interval of membership, as manifest/indices has them.
def model(dbt, session):
    from quantmill.stages.features import index_member_table

    return index_member_table()
