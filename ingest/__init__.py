"""The only code that brings data into the warehouse: sources, landing, loads, quarantine."""
