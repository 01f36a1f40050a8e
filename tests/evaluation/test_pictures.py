from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from tests.evaluation.fakes import COLOURS, ColourPerceptor
from vqclip.errors import UsageError
from vqclip.evaluation.pictures import Verdict, judge, read_pictures, read_prompts, summary
from vqclip.media.images import save_image
from vqclip.models.perceptor import Perceptor

PROMPTS = ["a red thing", "a green thing", "a blue thing"]


def picture(name: str) -> Image.Image:
    red, green, blue = (round(255 * c) for c in COLOURS[name])
    return Image.new("RGB", (8, 8), (red, green, blue))


def verdicts() -> list[Verdict]:
    shown = [
        ("1.png", PROMPTS[0], picture("red")),
        ("2.png", PROMPTS[1], picture("yellow")),  # a tie between red and green
        ("3.png", PROMPTS[2], picture("green")),
        ("4.png", PROMPTS[2], picture("blue")),
    ]
    return judge(cast(Perceptor, ColourPerceptor()), shown, PROMPTS)


def test_rank_of_the_own_prompt() -> None:
    assert [(v.file, v.prompt, v.place) for v in verdicts()] == [
        ("1.png", "a red thing", 1),
        ("2.png", "a green thing", 2),
        ("3.png", "a blue thing", 3),
        ("4.png", "a blue thing", 1),
    ]
    assert [v.taken_for for v in verdicts()][2] == "a green thing"
    assert verdicts()[1].similarity == pytest.approx(0.5**0.5)


def test_r_precision_is_the_fraction_ranked_first() -> None:
    figures = summary(verdicts())
    assert figures["r_precision"] == 0.5
    assert figures["top5"] == 1
    assert figures["similarity"] == pytest.approx((1 + 0.5**0.5 + 0 + 1) / 4)
    assert (figures["pictures"], figures["prompts"]) == (4, 3)


def test_prompt_must_be_among_the_prompts() -> None:
    shown = [("1.png", "a purple thing", picture("red"))]
    with pytest.raises(UsageError, match="'a purple thing', is not in the list"):
        judge(cast(Perceptor, ColourPerceptor()), shown, PROMPTS)
    with pytest.raises(UsageError, match="no image"):
        judge(cast(Perceptor, ColourPerceptor()), [], PROMPTS)


def test_images_contain_their_prompts(tmp_path: Path) -> None:
    save_image(picture("red"), tmp_path / "b.png", {"prompt": PROMPTS[0]})
    save_image(picture("blue"), tmp_path / "a.jpg", {"prompt": PROMPTS[2]})
    (tmp_path / "results.json").write_text("{}")
    assert [(file, prompt) for file, prompt, _ in read_pictures(tmp_path)] == [
        ("a.jpg", PROMPTS[2]),
        ("b.png", PROMPTS[0]),
    ]
    picture("red").save(tmp_path / "c.png")
    with pytest.raises(UsageError, match="contains no vqclip settings"):
        read_pictures(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        read_pictures(tmp_path / "none")


def test_prompts_are_one_per_line(tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    file.write_text("# what to draw\na cat\n\n  a dog \n")
    assert read_prompts(file) == ["a cat", "a dog"]
    file.write_text("a cat\na cat\n")
    with pytest.raises(UsageError, match="without duplicates"):
        read_prompts(file)


def test_benchmark_has_a_hundred_prompts() -> None:
    file = Path(__file__).parents[2] / "benchmarks" / "prompts100.txt"
    assert len(read_prompts(file)) == 100
