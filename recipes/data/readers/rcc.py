"""Qt's binary resource files (.rcc): a tree of names, and the files' data."""

import struct
import zlib
from collections.abc import Iterator

_COMPRESSED, _FOLDER, _ZSTANDARD = 1, 2, 4


def read(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each file in a resource file.

    Raises:
        ValueError: the data is not a resource file.
    """
    if data[:4] != b"qres":
        raise ValueError("no Qt resource file")
    version, tree, contents, names = struct.unpack_from(">IIII", data, 4)
    record = 22 if version >= 2 else 14

    def name(offset: int) -> str:
        at = names + offset
        (length,) = struct.unpack_from(">H", data, at)
        return data[at + 6 : at + 6 + 2 * length].decode("utf-16-be")

    def walk(node: int, folder: str) -> Iterator[tuple[str, bytes]]:
        at = tree + node * record
        name_offset, flags = struct.unpack_from(">IH", data, at)
        path = f"{folder}{name(name_offset)}" if node else ""
        if flags & _FOLDER:
            count, first = struct.unpack_from(">II", data, at + 6)
            for child in range(first, first + count):
                yield from walk(child, f"{path}/" if path else "")
        else:
            (offset,) = struct.unpack_from(">I", data, at + 10)
            yield path, _content(data, contents + offset, flags)

    yield from walk(0, "")


def _content(data: bytes, at: int, flags: int) -> bytes:
    (length,) = struct.unpack_from(">I", data, at)
    content = data[at + 4 : at + 4 + length]
    if flags & _COMPRESSED:
        return zlib.decompress(content[4:])
    if flags & _ZSTANDARD:
        import zstandard

        return bytes(zstandard.ZstdDecompressor().decompress(content, max_output_size=1 << 28))
    return content
