# One row per window and clustering: what it used, and its members, pairs and clusters as lists.
def model(dbt, session):
    from quantmill.stages.clustering import cluster_run

    return cluster_run(
        current_run=dbt.ref("current_run"),
        settings=dbt.ref("calc_settings"),
        windows=dbt.ref("windows"),
        pools=dbt.ref("clustering_pools"),
        returns=dbt.ref("aligned_returns"),
    )
