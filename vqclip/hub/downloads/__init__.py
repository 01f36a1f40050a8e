"""Files from the network: whole, checked and resumable, or not at all."""

from vqclip.hub.downloads.fetching import DownloadRequest, Fetched, Listener, download
from vqclip.hub.downloads.transfer import DiskFullError, DownloadError, Patience

__all__ = [
    "DiskFullError",
    "DownloadError",
    "DownloadRequest",
    "Fetched",
    "Listener",
    "Patience",
    "download",
]
