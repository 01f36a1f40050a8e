"""Files from the network: whole, checked and resumable, or not at all."""

from vqclip.hub.downloads.fetching import Fetched, Listener, Wanted, download
from vqclip.hub.downloads.transfer import DiskFullError, DownloadError, Patience

__all__ = [
    "DiskFullError",
    "DownloadError",
    "Fetched",
    "Listener",
    "Patience",
    "Wanted",
    "download",
]
