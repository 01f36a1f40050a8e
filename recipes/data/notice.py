"""The NOTICE: credits for the images in the data set and the models trained on it."""

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from recipes.data.lock import Package
from recipes.data.sources import SOURCES, Contents

Row = Mapping[str, Any]

_LICENSES = {
    "Apache-2.0": "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0",
    "BSD": "BSD License, named by the repository without its text, "
    "https://opensource.org/license/bsd-2-clause",
    "CC-BY-2.0": "Creative Commons Attribution 2.0, https://creativecommons.org/licenses/by/2.0/",
    "CC-BY-2.5": "Creative Commons Attribution 2.5, https://creativecommons.org/licenses/by/2.5/",
    "CC-BY-3.0": "Creative Commons Attribution 3.0, https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "Creative Commons Attribution 4.0, https://creativecommons.org/licenses/by/4.0/",
    "CC-PDDC": "Creative Commons Public Domain Dedication, "
    "https://creativecommons.org/licenses/publicdomain/",
    "CC0-1.0": "Creative Commons Zero 1.0, https://creativecommons.org/publicdomain/zero/1.0/",
    "MIT": "MIT License, https://opensource.org/license/mit; its text is that of LICENSE, "
    "with the copyright lines given here",
    "PDM-1.0": "Public Domain Mark 1.0, https://creativecommons.org/publicdomain/mark/1.0/",
    "Unlicense": "The Unlicense, https://unlicense.org/",
    "public domain": "no known copyright",
}
_HEAD = """\
vqclip
Copyright (c) 2026 The vqclip authors; MIT License, see LICENSE.

The models in weights/ were trained on images from the sources listed here, with their authors and
licences. The images themselves are not part of this distribution. For training, they were scaled to
128x128 and cropped, and some were recoloured, put on backgrounds or mixed. Naming the authors does
not imply that they endorse vqclip. `python -m recipes.data build` rebuilds the images from these
packages and git repositories, and `python -m recipes.data notice` writes this file.
"""


def credits(contents: Contents) -> Iterator[Row]:
    """Yield the source, licence, author and origin of every image in the packages, kept or not.

    origin: the image's own page; None if its row names a file in a repository.
    """
    for name, source in SOURCES.items():
        for candidate in source.read(contents) if source.packages else ():
            row = {"source": name, "license": candidate.license, "author": candidate.author}
            origin = candidate.columns.get("origin", "")
            yield {**row, "origin": origin if "://" in origin else None}


def notice(rows: Iterable[Row], packages: Mapping[str, Package]) -> str:
    """Return the NOTICE's text: the licences, then a paragraph for each source with rows.

    rows: mappings with the columns source, license, author and origin.
    """
    sources: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        sources[row["source"]].append(row)
    paragraphs = [_paragraph(name, found, packages) for name, found in sources.items()]
    used = {row["license"] for found in sources.values() for row in found}
    used |= {packages[p].license for name in sources for p in SOURCES[name].packages}
    licenses = "\n".join(f"{name}: {text}" for name, text in _LICENSES.items() if name in used)
    return "\n".join([_HEAD, f"Licences\n\n{licenses}\n", "Pictures\n", *paragraphs])


def _paragraph(name: str, rows: Sequence[Row], packages: Mapping[str, Package]) -> str:
    used = [packages[package] for package in SOURCES[name].packages]
    lines = [f"{name}: pictures under {', '.join(sorted({row['license'] for row in rows}))}."]
    lines += [f"{_named(package)}: {package.credit} ({package.license})." for package in used]
    if authors := _authors(rows):
        lines.append(f"By {authors}.")
    return "".join(
        textwrap.fill(
            line, 99, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        + "\n"
        for line in lines
    )


def _named(package: Package) -> str:
    return f"  {package.kind} {package.name} {package.version}"


def _authors(rows: Sequence[Row]) -> str:
    """Return all authors in the rows, sorted by name, with the origins of their images."""
    works: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        if row.get("author"):
            origin = works[row["author"], row["license"]]
            if row.get("origin") and row["origin"] not in origin:
                origin.append(row["origin"])
    ordered = sorted(works.items(), key=lambda work: (work[0][0].casefold(), work[0]))
    several = len({license for _, license in works}) > 1
    return "; ".join(
        author + (f" ({license})" if several else "") + "".join(f" {url}" for url in origins)
        for (author, license), origins in ordered
    )
