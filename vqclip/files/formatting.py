"""Sizes of files, for people."""


def readable(size: float) -> str:
    """Return a size in bytes as people write it.

    >>> readable(980092370)
    '935 MiB'
    """
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
