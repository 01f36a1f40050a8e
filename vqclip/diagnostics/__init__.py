"""Checks of the installation and forecasts of a run's cost."""
