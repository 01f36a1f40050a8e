"""Recipes for the built-in models: data and training."""
