"""Synthetic streams: what one unit of a strategy atom earns per session."""
