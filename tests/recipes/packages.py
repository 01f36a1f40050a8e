"""Tiny packages of each kind, generated for the tests."""

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" width="16" height="16">{}</svg>'
APPLE = '<circle cx="8" cy="8" r="7" fill="#dc2828"/><path d="M8 1h3v5h-3z" fill="#32a046"/>'


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def png(size: tuple[int, int] = (60, 40), mode: str = "RGB", format: str = "PNG") -> bytes:
    """Return a gradient; with RGBA, it has an empty margin."""
    image = Image.new(mode, size)
    for x in range(size[0]):
        for y in range(size[1]):
            inside = 2 <= x < size[0] - 2 and 2 <= y < size[1] - 2
            color = (x * 255 // size[0], y * 255 // size[1], 90)
            image.putpixel((x, y), (*color, 255 * inside) if mode == "RGBA" else color)
    buffer = io.BytesIO()
    image.save(buffer, format, **({"lossless": True} if format == "WEBP" else {}))
    return buffer.getvalue()


def tar(files: Mapping[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def deb(files: Mapping[str, bytes]) -> bytes:
    def member(name: str, content: bytes) -> bytes:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        return header + content + b"\n" * (len(content) % 2)

    data = member("data.tar.xz", tar(files, "w:xz"))
    return b"!<arch>\n" + member("debian-binary", b"2.0") + data


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def rcc(files: Mapping[str, bytes]) -> bytes:
    """Return a Qt resource file, version 1, with the files in a folder ``top``."""
    names, contents, nodes = b"", b"", []

    def named(name: str) -> int:
        nonlocal names
        at = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        return at

    top = struct.pack(">IHII", named("top"), 2, len(files), 2)
    for name, content in files.items():
        nodes.append(struct.pack(">IHHHI", named(name), 0, 0, 0, len(contents)))
        contents += struct.pack(">I", len(content)) + content
    tree = struct.pack(">IHII", 0, 2, 1, 1) + top + b"".join(nodes)
    at = (20, 20 + len(tree), 20 + len(tree) + len(contents))
    return b"qres" + struct.pack(">IIII", 1, *at) + tree + contents + names


def iconify(folder: Path, icons: Mapping[str, str], codes: Mapping[str, str] | None = None) -> Path:
    bodies = {name: {"body": body} for name, body in icons.items()}
    bodies["secret"] = {"body": APPLE, "hidden": True}
    content = {
        "icons.json": json.dumps({"prefix": "x", "icons": bodies, "width": 16, "height": 16})
    }
    return write_files(folder, {**content, "chars.json": json.dumps(codes or {})})


def emojibase(folder: Path) -> Path:
    rows = [
        ("1F34E", "red apple", ["fruit", "food"], 4, 40, "roter Apfel"),
        ("2764-FE0F", "red heart", ["love"], 0, 1, "rotes Herz"),
        ("1F1F5-1F1EA", "flag: Peru", ["PE"], 9, 90, "Flagge: Peru"),
    ]
    keys = ("hexcode", "label", "tags", "group", "subgroup")
    english = [dict(zip(keys, row[:5], strict=True)) for row in rows]
    german = [{"hexcode": row[0], "label": row[5]} for row in rows]
    groups = [(0, "smileys & emotion"), (4, "food & drink"), (9, "flags")]
    subgroups = [(1, "heart"), (40, "food fruit"), (90, "country flag")]
    messages = {
        "groups": [{"order": order, "message": name} for order, name in groups],
        "subgroups": [{"order": order, "message": name} for order, name in subgroups],
    }
    files = {"en/data.json": english, "en/messages.json": messages, "de/data.json": german}
    files |= {"fr/data.json": [], "es/data.json": []}
    return write_files(folder, {name: json.dumps(content) for name, content in files.items()})
