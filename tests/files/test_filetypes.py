"""Files that are something else than their name says."""

import struct

import pytest

from vqclip.files.filetypes import why_no_weights


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
def test_what_is_no_weights_is_recognised(head: bytes, reason: str) -> None:
    assert reason in str(why_no_weights(head))


def test_the_length_of_a_header_may_look_like_a_tag() -> None:
    """Safetensors begin with the length of their header: 60 is ``<``."""
    assert why_no_weights(struct.pack("<Q", ord("<")) + b'{"w":{}}') is None
    assert why_no_weights(b"PK\3\4") is None
