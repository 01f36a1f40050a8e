"""How the embedded default was made: its data and its trainings."""
