"""Recipes of the built-in models: their data and their training."""
