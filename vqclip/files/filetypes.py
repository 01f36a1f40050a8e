"""Recognition of file types from the first bytes or the suffix."""

import re

WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

_LFS = b"version https://git-lfs"
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# Patterns for the first bytes of files that are mistaken for images.
_NO_IMAGES = {
    rb"%PDF": "a PDF",
    rb"%!PS": "a PostScript file",
    rb"PK\x03\x04": "a ZIP archive",
    rb"\x1f\x8b": "a gzip-compressed file",
    rb"\x1a\x45\xdf\xa3|RIFF....AVI |....ftyp": "a video",
    rb"\xff\x0a|\x00\x00\x00\x0cJXL ": "a JPEG XL image",
    rb"v/1\x01": "an OpenEXR image",
    rb"#\?R": "a Radiance HDR image",
}


def is_web_page(head: bytes | str) -> bool:
    """Return whether a file that starts with ``head`` is HTML (or XML).

    A host that no longer has a file often sends a web page instead, which is then saved under the
    file's name.
    """
    text = head.encode(errors="replace") if isinstance(head, str) else head
    start = text.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))


def why_no_weights(head: bytes) -> str | None:
    """Return why a file with the first bytes ``head`` cannot contain weights, or None if it can."""
    if not head.strip():
        return "the file is empty; download it again"
    if is_web_page(head):
        return "it is a web page that was saved instead of the weights; download it again"
    if head.lstrip().startswith(_LFS):
        return "it is a Git LFS pointer; download the weights with 'git lfs pull'"
    return None


def why_no_image(head: bytes) -> str:
    """Return why Pillow cannot identify a file, and how to fix the problem.

    head: the first 1024 bytes of the file, or the whole file if it is shorter.
    """
    if not head:
        return "the file is empty: copy it again"
    if b"<svg" in head.lower():
        return "it is an SVG drawing: save it as PNG or JPEG"
    if is_web_page(head):
        return "it is a web page that was saved instead of the image: download it again"
    if head.startswith(_LFS):
        return "it is a Git LFS pointer: get the image with 'git lfs pull'"
    for start, kind in _NO_IMAGES.items():
        if re.match(start, head, re.DOTALL):
            return f"it is {kind}: save it as PNG or JPEG"
    return "its format is unknown, or it is damaged: save it as PNG or JPEG"


def why_no_list(head: bytes) -> str | None:
    """Return why a file that starts with ``head`` is not a prompt list, or None if it may be."""
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return "is a spreadsheet, a document or an archive: save the list as CSV or text"
    if is_web_page(head):
        return "is a web page that was saved instead of the list: download it again"
    if head.startswith((b"%PDF", b"{\\rtf")):
        return "is a document: save the list as text"
    return None


def is_heic(head: bytes) -> bool:
    """Return whether a file with the first 32 bytes ``head`` is a HEIC image."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC and b"avif" not in head
