"""What there is to fetch: the published models by name, and those that the user adds."""

from vqclip.hub.catalogue.entries import KINDS, Entry, Source, check_name, parse
from vqclip.hub.catalogue.reading import USER_FILE, catalogue, entry, known_entry, user_file

__all__ = [
    "KINDS",
    "USER_FILE",
    "Entry",
    "Source",
    "catalogue",
    "check_name",
    "entry",
    "known_entry",
    "parse",
    "user_file",
]
