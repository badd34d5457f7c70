"""The manifest: what a run is asked to do. `settings` holds the records, `compose` merges the files."""
