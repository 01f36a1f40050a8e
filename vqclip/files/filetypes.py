"""Types of files, by their first bytes and by the suffix of their name."""

WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_web_page(head: bytes | str) -> bool:
    """Whether a file that begins with ``head`` is HTML (or XML).

    Hosts that lost a file often answer with a web page, which is then saved in its place.
    """
    text = head.encode(errors="replace") if isinstance(head, str) else head
    start = text.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))


def why_no_weights(head: bytes) -> str | None:
    """Return what a file with this ``head`` is instead of weights, if recognised."""
    if not head.strip():
        return "the file is empty; download it again"
    if is_web_page(head):
        return "it is a web page saved in place of the weights; download it again"
    if head.lstrip().startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; download the weights with 'git lfs pull'"
    return None


def is_heic(head: bytes) -> bool:
    """Whether a file that begins with ``head``, 32 bytes, is a HEIC image, as phones write it."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC and b"avif" not in head
