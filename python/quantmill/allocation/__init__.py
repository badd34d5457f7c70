"""From synthetic streams to the weights of atoms: estimates, clusters, engines, caps and the ladder of
fallbacks.
"""
