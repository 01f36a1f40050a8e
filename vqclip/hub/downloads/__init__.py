"""Resumable, verified downloads, which leave a complete file or none."""

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
