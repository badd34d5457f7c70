"""Selection: pure functions that partition a pool of assets and measure what its members have in common."""
