"""The data recipe: openly licensed pictures with captions, rebuilt from ordinary packages."""
