"""File types, recognised by the first bytes or the suffix."""

WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_web_page(head: bytes | str) -> bool:
    """Return whether a file that starts with ``head`` is HTML (or XML).

    Hosts that lost a file often send a web page, which is then saved in its place.
    """
    text = head.encode(errors="replace") if isinstance(head, str) else head
    start = text.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))


def why_no_weights(head: bytes) -> str | None:
    """Return why a file holds no weights, or None if its first bytes ``head`` do not show it."""
    if not head.strip():
        return "the file is empty; download it again"
    if is_web_page(head):
        return "it is a web page saved in place of the weights; download it again"
    if head.lstrip().startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; download the weights with 'git lfs pull'"
    return None


def is_heic(head: bytes) -> bool:
    """Return whether a file that starts with ``head``, 32 bytes, is a HEIC image."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC and b"avif" not in head
