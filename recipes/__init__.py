"""Recipes of the embedded models: their data and their training."""
