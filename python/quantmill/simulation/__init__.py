"""Target weights and bars in; the path of a portfolio, its trades and its events out."""

from quantmill.simulation.bars import EffectiveBars, prepare_bars
from quantmill.simulation.simulator import Events, SimulatedPath, Trades, simulate

__all__ = ["EffectiveBars", "Events", "SimulatedPath", "Trades", "prepare_bars", "simulate"]
