"""What a run would take, told by a few of its steps: files, time, and memory at the peak."""

from vqclip.diagnostics.forecast.measuring import Forecast, Pace

__all__ = ["Forecast", "Pace"]
