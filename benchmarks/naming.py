"""Test whether people recognise the images: sheets without prompts for viewers, and scores.

    python benchmarks/naming.py sheets out/ --output naming/       # images made by vqclip
    python benchmarks/naming.py score naming/ naming/answers.csv [--sheet sheet.jpg --pictures out/]

``sheets`` shuffles the images in a folder and writes sheet-1.png and so on, with numbers only;
names.txt, the list of possible names, which ``--prompts`` can extend; and answers.csv. The key is
written beside the folder, as naming.key.json, so give viewers only the folder. Each viewer sees one
set, because a draft gives away the image made from it. Each line of answers.csv has an image's
number; a description in the viewer's own words; the most likely and second most likely name in
names.txt; and the look: 0 a smear, 1 something like the subject, 2 clearly a drawing of the
subject, 3 a nice image. ``--sheet`` shows all images with their prompts, in the key's order, with
wrong answers in red.
"""

import argparse
import csv
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import captioned, montage
from PIL import Image, ImageDraw, ImageFont

from vqclip.errors import UsageError
from vqclip.evaluation.pictures import read_pictures, read_prompts
from vqclip.media.images import load_image

COLUMNS = ("number", "words", "first", "second", "look")
LOOKS = ("0", "1", "2", "3")
CLEAR, NICE = 2, 3  # values of the look
_SIDE, _LABEL, _GAP, _ACROSS = 192, 26, 8, 5  # pixels; images per row
_ROW = 10  # images per row of the labelled sheet


@dataclass(frozen=True)
class Answer:
    """A viewer's answer about one image, with the image's prompt."""

    number: int
    prompt: str
    first: str
    second: str
    look: int

    @property
    def right(self) -> bool:
        """Whether the first choice is the prompt."""
        return self.first == self.prompt


def key_path(folder: Path) -> Path:
    """Return the path of the key, beside the folder for the viewer."""
    return folder.with_name(f"{folder.name}.key.json")


def write_sheets(source: Path, folder: Path, prompts: Path | None, seed: int, page: int) -> None:
    """Write sheets, names and an empty form to the new folder ``folder``, and the key beside it."""
    pictures = read_pictures(source)
    random.Random(seed).shuffle(pictures)
    shown = [prompt for _, prompt, _ in pictures]
    names = sorted({*shown, *(read_prompts(prompts) if prompts else ())})
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(pictures), page), 1):
        part = pictures[start : start + page]
        cells = [cell(picture, start + i + 1) for i, (_, _, picture) in enumerate(part)]
        montage(cells, min(_ACROSS, len(cells)), _GAP).save(folder / f"sheet-{number}.png")
    (folder / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    write_form(folder / "answers.csv", len(pictures))
    key = [
        {"number": i, "file": file, "prompt": prompt}
        for i, (file, prompt, _) in enumerate(pictures, 1)
    ]
    text = json.dumps({"names": names, "pictures": key}, indent=1, ensure_ascii=False)
    key_path(folder).write_text(text + "\n", encoding="utf-8")


def cell(picture: Image.Image, number: int) -> Image.Image:
    """Return an image with its number below, on white."""
    image = Image.new("RGB", (_SIDE, _SIDE + _LABEL), "white")
    image.paste(picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))
    font = ImageFont.load_default(18)
    ImageDraw.Draw(image).text((_SIDE // 2, _SIDE + 3), str(number), "black", font, anchor="ma")
    return image


def write_form(file: Path, count: int) -> None:
    """Write the form, with a line for each image."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        form = csv.writer(lines)
        form.writerow(COLUMNS)
        form.writerows([number, "", "", "", ""] for number in range(1, count + 1))


def read_answers(folder: Path, form: Path) -> list[Answer]:
    """Return the answers of a completed form, one for every image.

    Raises:
        UsageError: an image has no answer, a name is not in names.txt, or a look is invalid.
    """
    key = json.loads(key_path(folder).read_text(encoding="utf-8"))
    with form.open(newline="", encoding="utf-8-sig") as lines:
        rows = {row["number"].strip(): row for row in csv.DictReader(lines)}
    return [_answer(picture, rows, key["names"]) for picture in key["pictures"]]


def _answer(
    picture: dict[str, str], rows: dict[str, dict[str, str]], names: Sequence[str]
) -> Answer:
    number = str(picture["number"])
    if number not in rows:
        raise UsageError(f"image {number} has no answer: add its line")
    row = {column: (rows[number][column] or "").strip() for column in COLUMNS}
    for column in ("first", "second"):
        if row[column] not in names and (row[column] or column == "first"):
            raise UsageError(
                f"image {number}: {row[column]!r} is not in names.txt; choose a name from it"
            )
    if row["look"] not in LOOKS:
        raise UsageError(f"image {number}: the look is one of 0, 1, 2, 3, not {row['look']!r}")
    first, second, look = row["first"], row["second"], int(row["look"])
    return Answer(int(number), picture["prompt"], first, second, look)


def figures(answers: Sequence[Answer]) -> dict[str, float]:
    """Return the fractions of images that are right, clear and nice."""
    count = len(answers)
    shares = {
        "right": sum(a.right for a in answers),
        "first or second right": sum(a.prompt in (a.first, a.second) for a in answers),
        "clearly the thing and right": sum(a.right and a.look >= CLEAR for a in answers),
        "a nice picture": sum(a.look >= NICE for a in answers),
    }
    return {name: number / count for name, number in shares.items()}


def confusions(answers: Sequence[Answer]) -> list[str]:
    """Return the prompts mistaken for others, sorted by number of images, then by name."""
    wrong = Counter((a.prompt, a.first) for a in answers if not a.right)
    return [
        f"{prompt} -> {taken}" + (f" ({times} times)" if times > 1 else "")
        for (prompt, taken), times in sorted(wrong.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def labelled(answers: Sequence[Answer], folder: Path, pictures: Path) -> Image.Image:
    """Return all images with their prompts and, in red, wrong first choices."""
    key = json.loads(key_path(folder).read_text(encoding="utf-8"))["pictures"]
    said = sorted(zip(answers, key, strict=True), key=lambda pair: pair[0].prompt)
    cells = [
        captioned(
            load_image(pictures / picture["file"]), one.prompt, "" if one.right else one.first
        )
        for one, picture in said
    ]
    return montage(cells, min(_ROW, len(cells)), _GAP)


def report(answers: Sequence[Answer]) -> str:
    """Return the scores and confusions, one per line."""
    lines = [f"{share:4.0%}  {name}" for name, share in figures(answers).items()]
    wrong = confusions(answers)
    return "\n".join([f"{len(answers)} pictures", *lines, f"{len(wrong)} confusions:", *wrong])


def main() -> None:
    """Write the sheets, or score a form."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sheets = commands.add_parser("sheets", help="write the folder for a viewer")
    sheets.add_argument("pictures", type=Path, help="a folder of images made by vqclip")
    sheets.add_argument("--output", type=Path, required=True, help="a new folder")
    sheets.add_argument("--prompts", type=Path, help="more names to choose from, one per line")
    sheets.add_argument("--seed", type=int, default=0, help="seed of the order")
    sheets.add_argument("--page", type=int, default=25, help="images per sheet")
    score = commands.add_parser("score", help="compare a form with the key")
    score.add_argument("folder", type=Path, help="the folder written by sheets")
    score.add_argument("answers", type=Path, help="the completed form")
    score.add_argument("--sheet", type=Path, help="write a sheet with prompts and confusions")
    score.add_argument("--pictures", type=Path, help="the images for the sheet")
    args = parser.parse_args()
    try:
        if args.command == "score":
            answers = read_answers(args.folder, args.answers)
            print(report(answers))
            if args.sheet:
                labelled(answers, args.folder, args.pictures or Path()).save(args.sheet)
        else:
            write_sheets(args.pictures, args.output, args.prompts, args.seed, args.page)
    except (UsageError, OSError) as error:
        sys.exit(f"naming: {error}")


if __name__ == "__main__":
    main()
