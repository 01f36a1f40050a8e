"""Files whose content does not match their name."""

import struct

import pytest

from vqclip.files.filetypes import why_no_image, why_no_weights


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\n<!DOCTYPE html><title>Link does not exist</title>", "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "Git LFS"),
    ],
)
def test_files_without_weights_are_recognised(head: bytes, reason: str) -> None:
    assert reason in str(why_no_weights(head))


def test_header_length_may_look_like_a_tag() -> None:
    """Safetensors files begin with the length of their header, and 60 is ``<``."""
    assert why_no_weights(struct.pack("<Q", ord("<")) + b'{"w":{}}') is None
    assert why_no_weights(b"PK\3\4") is None


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "empty: copy it again"),
        (b"<!-- made by hand -->\n<SVG xmlns='http://www.w3.org/2000/svg'>", "an SVG drawing"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE svg PUBLIC ''><svg width='9'>", "an SVG drawing"),
        (
            b"<!DOCTYPE html><title>Not found</title>",
            "web page that was saved instead of the image",
        ),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "Git LFS"),
        (b"%PDF-1.7\n", "a PDF: save it as PNG"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "a video"),
        (b"RIFF\n\r\0\0AVI LIST", "a video"),
        (b"RIFF\n\r\0\0WAVEfmt ", "unknown, or it is damaged"),
        (b"\xff\n\xfa\x1f", "a JPEG XL image"),
        (b"v/1\1\2\0\0\0", "an OpenEXR image"),
        (b"#?RADIANCE\n", "a Radiance HDR image"),
        (b"a list of words", "unknown, or it is damaged: save it as PNG or JPEG"),
    ],
)
def test_files_that_are_not_images_are_recognised(head: bytes, reason: str) -> None:
    assert reason in why_no_image(head)
