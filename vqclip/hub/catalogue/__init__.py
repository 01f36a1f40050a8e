"""The catalogue of models for download: published models, and the user's own."""

from vqclip.hub.catalogue.entries import (
    MODEL_KINDS,
    CatalogueEntry,
    Source,
    check_model_name,
    parse_entry,
)
from vqclip.hub.catalogue.reading import USER_FILE, catalogue, entry, known_entry, user_file

__all__ = [
    "MODEL_KINDS",
    "USER_FILE",
    "CatalogueEntry",
    "Source",
    "catalogue",
    "check_model_name",
    "entry",
    "known_entry",
    "parse_entry",
    "user_file",
]
