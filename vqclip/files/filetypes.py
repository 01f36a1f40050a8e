"""Types of files, by their first bytes and by the suffix of their name."""

WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def is_web_page(head: bytes | str) -> bool:
    """Whether a file that begins with ``head`` is HTML (or XML), whatever its name says.

    Hosts that lost a file answer with a web page, and that is then saved in its place.
    """
    text = head.encode(errors="replace") if isinstance(head, str) else head
    start = text.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))
