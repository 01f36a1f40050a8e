"""The data recipe: openly licensed images with captions, rebuilt from ordinary packages."""
