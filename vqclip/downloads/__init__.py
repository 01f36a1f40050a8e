"""Files from the network: whole, checked and resumable, or not at all."""

from vqclip.downloads.fetching import Fetched, Listener, Wanted, download
from vqclip.downloads.transfer import DiskFullError, DownloadError, Patience

__all__ = [
    "DiskFullError",
    "DownloadError",
    "Fetched",
    "Listener",
    "Patience",
    "Wanted",
    "download",
]
