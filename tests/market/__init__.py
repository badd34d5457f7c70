"""A deterministic market and a venue that serves it on loopback over the real protocols; see README.md."""

from .faults import ALL_FAULTS, CONTAMINATED, Fault
from .market import Bars, Market
from .venue import CLOCK_HEADER, LogEntry, Venue

__all__ = ["ALL_FAULTS", "CLOCK_HEADER", "CONTAMINATED", "Bars", "Fault", "LogEntry", "Market", "Venue"]
