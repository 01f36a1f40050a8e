"""Each reader, with a tiny package of its kind."""

from pathlib import Path

import numpy as np
import pytest

from recipes.data.candidates import Candidate
from recipes.data.pictures import Picture, render
from recipes.data.readers import (
    crops,
    dicebear,
    emoji,
    gcompris,
    hdri,
    iconify,
    openclipart,
    photos,
    rcc,
    scenes,
    shapes,
    sprites,
    sweethome3d,
)
from tests.conftest import mostly_slow
from tests.recipes import packages
from tests.recipes.packages import APPLE, SVG, png, write_files, zipped

OPENCLIPART = """<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><metadata>
<rdf:RDF><cc:Work><dc:title>{title}</dc:title>
<dc:description>An apple &amp;amp; its leaf.</dc:description>
<dc:subject><rdf:Bag><rdf:li>fruit</rdf:li>
<rdf:li>hash(1)</rdf:li><rdf:li>ann artist</rdf:li></rdf:Bag></dc:subject>
<dc:creator><cc:Agent><dc:title>Ann Artist</dc:title></cc:Agent></dc:creator>
</cc:Work></rdf:RDF></metadata></svg>"""
README = b"""Copyright: Jane  Doe
License: CC-BY 2.0
Source: https://example.org/lion.jpg
Files:
lion.webp
theLynx2.webp

Copyright: Someone
License: CC-BY-SA 4.0
Files: tiger.webp

Copyright: Nobody
Files:
wolf.webp
"""


def texts(candidates: object) -> list[tuple[str, ...]]:
    return [candidate.texts for candidate in candidates]  # type: ignore[attr-defined]


def test_icons_are_named_and_hidden_ones_skipped(tmp_path: Path) -> None:
    package = packages.iconify(tmp_path, {"red-apple-2": APPLE, "sun-fill": APPLE})
    found = list(iconify.read_icons(package, "MIT"))
    assert texts(found) == [("red-apple",), ("sun",)]
    assert found[0].license == "MIT"
    pytest.importorskip("resvg_py")
    assert found[0].draw().size == (256, 256)


def test_silhouettes_have_the_colour_in_their_caption(tmp_path: Path) -> None:
    body = '<path fill="currentColor" d="M2 2h12v9H2z"/>'
    package = packages.iconify(tmp_path, {"dragon-head": body, "abstract-1": body})
    (found,) = iconify.read_silhouettes(package, "CC-BY-3.0", "toys")
    color, *name = found.texts[0].split()
    assert name == ["dragon", "head"]
    assert found.columns["fg"] == color != found.background
    (again,) = iconify.read_silhouettes(package, "CC-BY-3.0", "toys")
    assert again.texts == found.texts
    pytest.importorskip("resvg_py")
    picture = render("toys", found)
    assert isinstance(picture, Picture)
    assert picture.row["bg"] == found.background


@pytest.fixture
def names(tmp_path: Path) -> emoji.Names:
    return emoji.read_names(packages.emojibase(tmp_path / "emojibase"))


def test_emoji_are_found_by_code_point_or_name(names: emoji.Names) -> None:
    by_code, by_name = names.find("1f34e"), names.find("", "red-apple")
    assert by_code is by_name is not None
    assert by_code.tags == ("fruit", "food")
    assert by_code.labels == {"de": "roter Apfel"}
    assert names.find("2764") is not None
    assert names.find("1f600", "grinning") is None


def test_emoji_set_has_one_skin_tone_and_optional_flags(tmp_path: Path, names: emoji.Names) -> None:
    icons = dict.fromkeys(["apple", "hand-dark", "wave", "peru", "flag-x", "blob"], APPLE)
    codes = {"1f34e": "apple", "1f44b-1f3fb": "wave", "1f1f5-1f1ea": "peru"}
    package = packages.iconify(tmp_path / "set", icons, codes)
    found = list(emoji.read_emoji(package, names, "MIT", "flat"))
    assert texts(found) == [("red apple", "apple"), ("blob",)]
    assert found[0].tags == ("fruit", "food", "food fruit")
    assert found[0].columns["category"] == "food & drink"
    assert found[0].columns["cp"] == "1f34e"
    flagged = list(emoji.read_emoji(package, names, "MIT", flags=True))
    assert ("flag: Peru", "peru") in texts(flagged)


def test_run_together_names_are_split(tmp_path: Path, names: emoji.Names) -> None:
    package = packages.iconify(
        tmp_path / "set", dict.fromkeys(["redfruit", "redapple", "bluefruit"], APPLE)
    )
    found = emoji.read_run_together(package, names, "Apache-2.0")
    assert texts(found) == [("red fruit",), ("red apple",), ("blue fruit",)]


def test_emoji_files_are_named_by_code_point(tmp_path: Path, names: emoji.Names) -> None:
    image = png((40, 40), "RGBA", "WEBP")
    files = ["1f34e.webp", "2764-fe0f.webp", "1f34e-1f3fb.webp", "ffff.webp"]
    write_files(tmp_path, dict.fromkeys(files, image))
    found = list(emoji.read_files(tmp_path, names, "MIT", "3d render"))
    assert texts(found) == [("red apple",), ("red heart",)]
    assert found[0].draw().mode == "RGBA"


@pytest.mark.parametrize(
    ("title", "expected"), [("A Red Apple", "A Red Apple"), ("Untitled", "ripe apple")]
)
def test_clip_art_is_described_by_its_metadata(tmp_path: Path, title: str, expected: str) -> None:
    svg, name = OPENCLIPART.format(title=title), "food/fruit/ripe_apple_ann_artist_01"
    write_files(tmp_path / "svg", {f"{name}.svg": svg, "shapes/a.svg": svg})
    write_files(tmp_path / "png", {f"{name}.png": png((60, 60), "RGBA")})
    (found,) = openclipart.read(tmp_path / "svg", tmp_path / "png", "CC-PDDC")
    others = ("ripe apple",) if expected != "ripe apple" else ()
    assert found.texts == (expected, *others, "An apple & its leaf.")
    assert found.tags == ("fruit", "food", "fruit")  # without HASH and the artist
    assert found.author == "Ann Artist"
    assert found.draw().size == (60, 60)


def test_furniture_is_read_from_its_catalogues(tmp_path: Path) -> None:
    properties = (
        "name#1=Fauteuil \\u00e9l\\u00e9gant\nicon#1=/a/chair.png\ntags#1=Blend Swap, Seat\n"
        "category#1=Office\ncreator#1=Ann\nname#2=No icon\n"
    )
    files = {"PluginFurnitureCatalog.properties": properties.encode(), "a/chair.png": png()}
    catalogues = ("BlendSwap-CC-0", "BlendSwap-CC-BY", "KatorLegaz", "Reallusion", "Scopia")
    write_files(tmp_path, {f"{name}.sh3f": zipped(files) for name in catalogues})
    found = list(sweethome3d.read(tmp_path))
    assert [c.license for c in found] == ["CC0-1.0", *["CC-BY-3.0"] * 4]
    assert found[0].texts[0] == "Fauteuil élégant"
    assert (found[0].tags, found[0].author) == ((" Seat", "Office"), "Ann")
    assert found[0].draw().size == (60, 40)


def test_qt_resources_are_read() -> None:
    files = {"README": b"hello", "a.webp": b"\0\1"}
    assert dict(rcc.read(packages.rcc(files))) == {f"top/{k}": v for k, v in files.items()}
    with pytest.raises(ValueError, match="no Qt resource"):
        list(rcc.read(b"other"))


def test_only_photos_under_free_licences_are_read(tmp_path: Path) -> None:
    photo = png((80, 60), format="WEBP")
    named = ("lion", "theLynx2", "tiger", "wolf", "unnamed")
    files = {f"{name}.webp": photo for name in named} | {"README": README}
    activities = ("explore_monuments", "explore_world_animals", "explore_farm_animals", "erase")
    activities += ("explore_world_music", "categorization")
    write_files(tmp_path, {f"{name}.rcc": packages.rcc(files) for name in activities})
    found = list(gcompris.read("gcompris", tmp_path))
    assert {c.texts[0].removesuffix(" music") for c in found} == {"lion", "the lynx"}
    assert len(found) == 2 * (6 * 4 + 3 + 2)
    assert {c.license for c in found} == {"CC-BY-2.0"}
    assert {c.author for c in found} == {"Jane Doe"}
    assert found[0].columns["origin"] == "https://example.org/lion.jpg"
    assert found[0].draw().size == (60, 60)


@pytest.mark.parametrize(
    ("license", "expected"),
    [("Public Domain", "public domain"), ("CC0-1.0", "CC0-1.0"), ("CC-BY 3.0", "CC-BY-3.0"),
     ("CC-BY-SA-4.0", ""), ("CC-BY-NC-2.0", ""), ("GPLv3", ""), ("GFDL", "")],
)  # fmt: skip
def test_licences_are_distinguished(license: str, expected: str) -> None:
    assert gcompris.permissive(license) == expected


def test_random_crops_are_marked(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.png": png((90, 60))})
    photo = {"a.png": photos.Photo("an a", "CC0-1.0", "Ann")}
    found = list(photos.read_photos("toys", tmp_path, photo, count=4))
    assert [c.columns.get("crop") for c in found] == [None, True, True, True]
    sizes = [c.draw().size for c in found]
    assert sizes[0] == (60, 60)
    assert all(33 <= w == h <= 60 for w, h in sizes)
    assert len({c.key for c in found}) == 4


def test_crops_are_reproducible(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.png": png((90, 60))})
    whole = next(photos.read_photos("toys", tmp_path, {"a.png": photos.Photo("a", "MIT")}))
    first, second = ([c.draw().tobytes() for c in crops.crops("t", whole, 5, 0.5)] for _ in "12")
    assert first == second
    assert len(set(first)) == 5


def test_textures_are_named_after_their_files(tmp_path: Path) -> None:
    names = {"light-wood_2.png": png((70, 70)), "logo.png": png((70, 70)), "tiny.png": png()}
    write_files(tmp_path, names)
    found = list(photos.read_textures("toys", tmp_path, "MIT"))
    assert {c.texts for c in found} == {("light-wood texture",)}
    assert len(found) == 5


def test_one_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    names = ["animals/blueFrog2.png", "hero/hero_walk0.png", "hero/hero_walk1.png"]
    write_files(tmp_path, dict.fromkeys(names, png((40, 40), "RGBA")))
    found = list(sprites.read_game_art(tmp_path, "CC0-1.0"))
    assert [c.texts[0].strip() for c in found] == ["blue frog", "hero"]
    assert found[0].tags == ("animals",)


def test_theme_is_read_without_duplicates(tmp_path: Path) -> None:
    names = ["apps/clock.svg", "apps/gnome-x.svg", "mimetypes/text.svg"]
    write_files(tmp_path, dict.fromkeys(names, SVG.format(APPLE)))
    (tmp_path / "apps" / "link.svg").symlink_to("clock.svg")
    assert texts(sprites.read_theme(tmp_path, "CC-PDDC")) == [("clock",)]


def test_view_has_the_right_direction() -> None:
    panorama = np.zeros((64, 128, 3))
    panorama[:32] = (0, 0, 1)
    panorama[32:, :64] = (0, 1, 0)
    ahead = hdri.view(panorama, yaw=np.pi / 2, pitch=0)
    assert ahead.shape == (256, 256, 3)
    assert ahead[10, 128].tolist() == [0, 0, 1]
    assert ahead[250, 128].tolist() == [0, 1, 0]
    assert hdri.view(panorama, 0, np.pi / 2)[128, 128].tolist() == [0, 0, 1]


def test_tone_mapping_stays_in_range_and_in_order() -> None:
    radiance = np.linspace(0, 50, 300).reshape(10, 10, 3)
    mapped = hdri.tone_mapped(radiance).ravel()
    assert mapped.min() == 0
    assert mapped.max() <= 1
    assert (np.diff(mapped) >= 0).all()


def test_panoramas_give_eighteen_views(tmp_path: Path) -> None:
    found = list(hdri.read(tmp_path, "CC0-1.0"))
    assert len(found) == 18 * 18
    assert len({c.key for c in found}) == len(found)


def face(style: str, **parts: object) -> Candidate:
    return dicebear.candidate(style, "a1", SVG.format(APPLE), parts, "CC0-1.0")


def test_face_is_described_by_its_parts() -> None:
    told = face(
        "openPeeps", head="shortHair1", skinColor="ffdbb4", facialHair="moustache2", face="smile"
    ).texts[0]
    assert told.startswith("hand drawn portrait of a smiling ")
    assert told.endswith(" with light skin, short hair, moustache")


def test_ink_faces_have_no_colours() -> None:
    told = face("lorelei", hair="variant03", hairColor="ff0000", skinColor="ffffff", beard="x")
    assert told.texts[0].endswith(" with beard")


def test_clothes_and_glasses_are_described() -> None:
    told = face("toonHead", clothesColor="0000ff", glasses="round", hair="bun", hairColor="000000")
    assert told.tags[-3:] == ("black bun", "glasses", "blue clothes")


@pytest.mark.parametrize("number", mostly_slow(range(0, 36, 3), 0, 3, 6, 9))
def test_landscapes_are_painted_and_described(number: int) -> None:
    scene, land = scenes.paint(number)
    (candidate,) = list(scenes.read(number + 1, "MIT"))[-1:]
    assert scene.sky.told in candidate.texts[0]
    assert land in candidate.tags
    image = np.asarray(candidate.draw())
    assert image.shape == (128, 128, 3)
    assert image.std() > 5


def test_every_land_can_be_painted() -> None:
    for land, (_, paint) in scenes._LANDS.items():
        scene, _ = scenes.paint(5)
        before = scene.canvas.copy()
        paint(scene)
        assert np.abs(scene.canvas - before).max() > 1, land
        assert np.isfinite(scene.canvas).all()


def test_shapes_have_the_colours_in_their_captions() -> None:
    for number in range(60):
        shape = shapes.shape(number)
        image = np.asarray(shapes.draw(shape)).reshape(-1, 3).astype(int)
        distance = np.abs(image - np.array(shape.fill)).sum(1)
        if shape.kind not in ("sphere", "cube", "gradient"):
            assert (distance < 20).mean() > 0.01, (number, shape)
        assert shape.color in shapes.caption(shape)
        assert shape.ground in shapes.caption(shape)


def test_every_kind_of_shape_occurs() -> None:
    assert {shapes.shape(number).kind for number in range(300)} == set(shapes._DRAWN)
