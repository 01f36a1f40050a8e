"""Generate the README's gallery as a user would, or check that it can be reproduced.

    python benchmarks/gallery.py                # docs/gallery/NAME.png, docs/gallery.png, a table
    python benchmarks/gallery.py --check        # does vqclip again reproduce the bytes of each?
    python benchmarks/gallery.py --only a-robot -- --steps 20

Every prompt in prompts.txt is used once, with the default settings and seed 0, on the CPU in
portable precision. Options after ``--`` are passed to every ``vqclip``. The bytes depend on the
weights and on torch, which drawn_with.json records. The exit status of --check is 3 if these
differ, and 1 if only the bytes differ.
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
    """Return the versions and hashes that, together with the settings, determine the bytes."""
    return {
        "vqclip": vqclip.__version__,
        "torch": torch.__version__,
        "architecture": platform.machine(),
        "weights": {p.parent.name: weights_hash(p) for p in sorted(weights_folder().glob(_MODELS))},
    }


def run(*words: object) -> None:
    """Run vqclip with its progress on the terminal."""
    line = [sys.executable, "-m", "vqclip", *map(str, words), "--quiet"]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def draw(folder: Path, prompts: dict[str, str], options: list[str]) -> None:
    """Generate an image for every prompt, and record the environment."""
    for number, (name, prompt) in enumerate(prompts.items(), 1):
        print(f"{number}/{len(prompts)} {prompt}", file=sys.stderr)
        place = ["-o", folder / f"{name}.png", "--overwrite"]
        run(prompt, "--seed", 0, *_ANYWHERE, *place, *options)
    (folder / _DRAWN_WITH).write_text(json.dumps(drawn_with(), indent=1) + "\n")


def show(folder: Path, names: list[str]) -> None:
    """Write a montage of all images beside the folder, and print the table for docs/gallery.md."""
    pictures = [Image.open(folder / f"{name}.png").convert("RGB") for name in names]
    montage(pictures, _COLUMNS, _GAP).save(folder.with_suffix(".png"), optimize=True)
    print("| Image | Command |\n|---|---|")
    for path in (folder / f"{name}.png" for name in names):
        settings = read_settings(path)
        words = recorded_command(settings, path)
        print(f"| [{settings['prompt']}]({folder.name}/{path.name}) | `{words}` |")


def check(folder: Path, names: list[str], options: list[str]) -> int:
    """Generate the images again; return the exit status."""
    then, now = json.loads((folder / _DRAWN_WITH).read_text()), drawn_with()
    different = [name for name in names if not is_the_same(folder, name, options)]
    print(f"{len(names) - len(different)} of {len(names)} images have the same bytes")
    if not different:
        return 0
    print(f"different: {', '.join(different)}")
    other = [key for key in then if then[key] != now[key]]
    for key in other:
        print(f"{key}: generated with {then[key]}, now {now[key]}, which may round differently")
    return ELSEWHERE if other else NOT_THE_SAME


def is_the_same(folder: Path, name: str, options: list[str]) -> bool:
    """Return whether ``vqclip again``, which reports differing weights, reproduces an image."""
    path = folder / f"{name}.png"
    with tempfile.TemporaryDirectory() as other:
        again = Path(other) / path.name
        try:
            run("again", path, "-o", again, *options)
        except subprocess.CalledProcessError:
            return False
        return again.read_bytes() == path.read_bytes()


def main() -> None:
    """Generate or check the gallery."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder with prompts.txt")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("options", nargs="*", help="options of vqclip, after --")
    args = parser.parse_args()
    prompts = {slug(prompt): prompt for prompt in read_prompts(args.folder / "prompts.txt")}
    wanted = {name: prompts[name] for name in args.only or prompts}
    if args.check:
        sys.exit(check(args.folder, list(wanted), args.options))
    draw(args.folder, wanted, args.options)
    show(args.folder, [name for name in prompts if (args.folder / f"{name}.png").exists()])


if __name__ == "__main__":
    main()
