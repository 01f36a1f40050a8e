"""Draw the pictures of the README's gallery as a user would, or check that they can be made again.

    python benchmarks/gallery.py                # docs/gallery/NAME.png, docs/gallery.png, a table
    python benchmarks/gallery.py --check        # vqclip again on each: the same bytes?
    python benchmarks/gallery.py --only a-robot -- --steps 20

Every prompt of prompts.txt is drawn once, with the default settings and seed 0, on the CPU, in
portable precision. What follows ``--`` goes to every ``vqclip``. Bytes depend on the weights and on
torch, which drawn_with.json holds; --check ends with 3 where they are others, with 1 where only
bytes are.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import montage
from PIL import Image

import vqclip
from vqclip.evaluation.pictures import read_prompts
from vqclip.files.embedded import weights_folder
from vqclip.files.hashing import weights_hash
from vqclip.runs.naming import slug
from vqclip.runs.replay import read_settings, recorded_command

FOLDER = Path(__file__).parent.parent / "docs" / "gallery"
NOT_THE_SAME, ELSEWHERE = 1, 3
_COLUMNS, _GAP = 6, 4
_MODELS, _DRAWN_WITH = "*/*.safetensors", "drawn_with.json"
_ANYWHERE = ("--device", "cpu", "--precision", "portable")


def drawn_with() -> dict[str, Any]:
    """Return what bytes depend on beside settings."""
    return {
        "vqclip": vqclip.__version__,
        "torch": torch.__version__,
        "architecture": platform.machine(),
        "weights": {p.parent.name: weights_hash(p) for p in sorted(weights_folder().glob(_MODELS))},
    }


def run(*words: object) -> None:
    """Run vqclip, its progress on the terminal."""
    line = [sys.executable, "-m", "vqclip", *map(str, words), "--quiet"]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def draw(folder: Path, prompts: dict[str, str], options: list[str]) -> None:
    """Draw every prompt, and write down where."""
    for number, (name, prompt) in enumerate(prompts.items(), 1):
        print(f"{number}/{len(prompts)} {prompt}", file=sys.stderr)
        place = ["-o", folder / f"{name}.png", "--overwrite"]
        run(prompt, "--seed", 0, *_ANYWHERE, *place, *options)
    (folder / _DRAWN_WITH).write_text(json.dumps(drawn_with(), indent=1) + "\n")


def show(folder: Path, names: list[str]) -> None:
    """Write all pictures as one, beside the folder, and print the table of docs/gallery.md."""
    pictures = [Image.open(folder / f"{name}.png").convert("RGB") for name in names]
    montage(pictures, _COLUMNS, _GAP).save(folder.with_suffix(".png"), optimize=True)
    print("| picture | drawn by |\n|---|---|")
    for path in (folder / f"{name}.png" for name in names):
        settings = read_settings(path)
        words = recorded_command(settings, path)
        print(f"| [{settings['prompt']}]({folder.name}/{path.name}) | `{words}` |")


def check(folder: Path, names: list[str], options: list[str]) -> int:
    """Make the pictures again; return the exit code."""
    then, now = json.loads((folder / _DRAWN_WITH).read_text()), drawn_with()
    different = [name for name in names if not is_the_same(folder, name, options)]
    print(f"{len(names) - len(different)} of {len(names)} pictures have the same bytes")
    if not different:
        return 0
    print(f"different: {', '.join(different)}")
    other = [key for key in then if then[key] != now[key]]
    for key in other:
        print(f"{key}: drawn with {then[key]}, this is {now[key]}: others round otherwise")
    return ELSEWHERE if other else NOT_THE_SAME


def is_the_same(folder: Path, name: str, options: list[str]) -> bool:
    """Whether ``vqclip again`` on a picture gives its bytes; it names weights that differ."""
    path = folder / f"{name}.png"
    with tempfile.TemporaryDirectory() as other:
        again = Path(other) / path.name
        try:
            run("again", path, "-o", again, *options)
        except subprocess.CalledProcessError:
            return False
        return again.read_bytes() == path.read_bytes()


def main() -> None:
    """Draw, or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="with prompts.txt in it")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("options", nargs="*", help="of vqclip, after --")
    args = parser.parse_args()
    prompts = {slug(prompt): prompt for prompt in read_prompts(args.folder / "prompts.txt")}
    wanted = {name: prompts[name] for name in args.only or prompts}
    if args.check:
        sys.exit(check(args.folder, list(wanted), args.options))
    draw(args.folder, wanted, args.options)
    show(args.folder, [name for name in prompts if (args.folder / f"{name}.png").exists()])


if __name__ == "__main__":
    main()
