"""Hosts that lost a file answer with a web page; saved in its place, it has fooled many."""


def is_web_page(head: bytes | str) -> bool:
    """Whether a file that begins with ``head`` is HTML (or XML), whatever its name says."""
    text = head.encode(errors="replace") if isinstance(head, str) else head
    start = text.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))
