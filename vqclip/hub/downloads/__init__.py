"""Resumable, verified downloads that are complete or absent."""

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
