"""quantmill: the Python half of the warehouse.

Importing this package loads nothing heavy; each library that is slow to import is imported where it is first
used.
"""

__version__ = "0.1.0"
