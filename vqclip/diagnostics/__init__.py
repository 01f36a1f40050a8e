"""Checks of the installation, and forecasts of a run's time and memory."""
