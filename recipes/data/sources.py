"""The table of sources with their readers and packages, in data set order.

If two sources contain the same image, the first keeps it. Only licences that require at most
attribution are accepted: no share-alike, no GPL.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recipes.data.candidates import Candidate
from recipes.data.readers import (
    chosen,
    dicebear,
    emoji,
    gcompris,
    hdri,
    iconify,
    openclipart,
    photos,
    scenes,
    shapes,
    sprites,
    sweethome3d,
)

# Folder with each package's contents, by package name.
Contents = Mapping[str, Path]
Reader = Callable[[Contents], Iterator[Candidate]]

OWN = "MIT (own)"
_ICONIFY = "@iconify-json/"
_EMOJIBASE = "emojibase-data"
_CARDS = "TensorFlow-Object-Detection-API-Tutorial-Train-Multiple-Objects-Windows-10"


@dataclass(frozen=True, slots=True)
class Source:
    """A source of images: its packages, and the function that reads them."""

    packages: tuple[str, ...]
    read: Reader


def _emoji(name: str, license: str, style: str = "", *, flags: bool = False) -> Source:
    package = _ICONIFY + name

    def read(contents: Contents) -> Iterator[Candidate]:
        names = emoji.read_names(contents[_EMOJIBASE])
        return emoji.read_emoji(contents[package], names, license, style, flags=flags)

    return Source((package, _EMOJIBASE), read)


def _fxemoji(contents: Contents) -> Iterator[Candidate]:
    names = emoji.read_names(contents[_EMOJIBASE])
    return emoji.read_run_together(contents[f"{_ICONIFY}fxemoji"], names, "Apache-2.0", "flat")


def _fluent_3d(contents: Contents) -> Iterator[Candidate]:
    names = emoji.read_names(contents[_EMOJIBASE])
    folder = contents["@lobehub/fluent-emoji-3d"] / "assets"
    return emoji.read_files(folder, names, "MIT", "3d render")


def _icons(name: str, license: str) -> Source:
    package = _ICONIFY + name
    return Source((package,), lambda contents: iconify.read_icons(contents[package], license))


def _game_icons(contents: Contents) -> Iterator[Candidate]:
    package = contents[f"{_ICONIFY}game-icons"]
    return iconify.read_silhouettes(package, "CC-BY-3.0", "game-icons")


def _openclipart(contents: Contents) -> Iterator[Candidate]:
    share = Path("usr/share/openclipart")
    svgs = contents["openclipart-svg"] / share / "svg"
    pngs = contents["openclipart-png"] / share / "png"
    return openclipart.read(svgs, pngs, "CC-PDDC")


def _dicebear(style: str, license: str) -> Source:
    package, _ = dicebear.STYLES[style]

    def read(contents: Contents) -> Iterator[Candidate]:
        node_modules = contents["@dicebear/core"].parent.parent
        return dicebear.read(node_modules, {package: license}, style)

    return Source(("@dicebear/core", package), read)


def _folder(package: str, folder: str, read: Callable[[Path], Iterator[Candidate]]) -> Source:
    return Source((package,), lambda contents: read(contents[package] / folder))


def _photos(source: str, package: str, folder: str, named: Mapping[str, photos.Photo]) -> Source:
    return _folder(package, folder, lambda path: photos.read_photos(source, path, named))


def _textures(package: str, folder: str, license: str) -> Source:
    return _folder(package, folder, lambda path: photos.read_textures(package, path, license))


def _repository(name: str, license: str, *texts: str, **wording: Any) -> Source:
    said = chosen.Wording(license, **({"texts": texts} if texts else {}), **wording)
    return Source((name,), lambda contents: chosen.read(contents[name], name, said))


SOURCES: Mapping[str, Source] = {
    "fluent-emoji-3d": Source(("@lobehub/fluent-emoji-3d", _EMOJIBASE), _fluent_3d),
    "noto": _emoji("noto", "Apache-2.0", flags=True),
    "twemoji": _emoji("twemoji", "CC-BY-4.0", "flat", flags=True),
    "fluent-emoji": _emoji("fluent-emoji", "MIT", "3d style"),
    "fluent-emoji-flat": _emoji("fluent-emoji-flat", "MIT", "flat"),
    "fxemoji": Source((f"{_ICONIFY}fxemoji", _EMOJIBASE), _fxemoji),
    "emojione": _emoji("emojione", "CC-BY-4.0"),
    "noto-v1": _emoji("noto-v1", "Apache-2.0"),
    "sweethome3d": _folder(
        "sweethome3d-furniture", "usr/share/sweethome3d/furniture", sweethome3d.read
    ),
    "openclipart": Source(("openclipart-svg", "openclipart-png"), _openclipart),
    "scikit-image": _photos("scikit-image", "scikit-image", "skimage/data", photos.SCIKIT_IMAGE),
    "scikit-learn": _photos(
        "scikit-learn", "scikit-learn", "sklearn/datasets/images", photos.SCIKIT_LEARN
    ),
    "wallpapers": _photos(
        "wallpapers", "lomiri-wallpapers-16.04", "usr/share/backgrounds", photos.LOMIRI
    ),
    "gcompris": _folder(
        "gcompris-qt-data", "usr/share/gcompris-qt/rcc", partial(gcompris.read, "gcompris")
    ),
    "polyhaven-hdri": _folder("@pmndrs/assets", "hdri", partial(hdri.read, license="CC0-1.0")),
    "grocery-store-dataset": _repository(
        "marcusklasson/GroceryStoreDataset", "MIT", "{}", "{} in a shop", tags=("food", "grocery")
    ),
    "clothing-dataset": _repository(
        "alexeygrigorev/clothing-dataset", "CC0-1.0", category="clothes", tags=("clothing",)
    ),
    "usda-pomological": _repository(
        "jwilber/USDA_Pomological_Watercolors",
        "public domain",
        "a watercolor painting of {}",
        "botanical illustration of {}",
        "{}",
        tags=("fruit", "botanical", "watercolor", "illustration"),
        category="fruit",
        kind="painting",
        style="watercolor",
    ),
    "flower-photos": _repository(
        "Oldpel/flower_photos", "CC-BY-2.0", category="flowers", tags=("flower", "plant", "garden")
    ),
    "sign-language-digits": _repository(
        "ardamavi/Sign-Language-Digits-Dataset",
        "Apache-2.0",
        "a hand showing the sign for {}",
        "the number {} in sign language",
        "a photo of a hand",
        tags=("hand", "fingers", "gesture", "sign language"),
        category="hands",
    ),
    "trashnet": _repository(
        "zzazzz/trashnet",
        "MIT",
        "{}",
        "{} on a plain background",
        tags=("recycling", "household"),
        category="household",
    ),
    "euro-coins": _repository(
        "kaa/coins-dataset",
        "MIT",
        "a {}",
        "a coin",
        "a photo of a {}",
        tags=("coin", "money", "euro"),
        category="household",
    ),
    "public-domain-recipes": _repository(
        "ronaldl29/public-domain-recipes",
        "Unlicense",
        "{}",
        tags=("food", "dish", "meal", "cooking"),
        category="food",
    ),
    "edje-playing-cards": _repository(
        f"EdjeElectronics/{_CARDS}",
        "Apache-2.0",
        "{}",
        tags=("playing card", "card", "game"),
        category="household",
    ),
    "maxogden-cats": _repository(
        "maxogden/cats",
        "BSD",
        "{}",
        "a photo of a cat",
        tags=("cat", "pet", "animal"),
        category="animals",
    ),
    "azure-custom-vision-samples": _repository(
        "Azure-Samples/cognitive-services-sample-data-files", "MIT", "{}"
    ),
    "commons-animals-npc": _repository(
        "ezfibuilds/NPC-Thought-Starter-Generator",
        "",
        tags=("animal", "wildlife"),
        category="animals",
    ),
    "ms-learn-fruit": _repository(
        "MicrosoftLearning/AI-102-AIEngineer",
        "MIT",
        "{}",
        "{} on a white table",
        tags=("fruit", "food"),
        category="fruit",
    ),
    "budgie-backgrounds": _repository("BuddiesOfBudgie/budgie-backgrounds", "CC0-1.0"),
    "weavly-landmarks": _repository("sbates-idrc/c2lc-coding-environment", "", tags=("landmark",)),
    "udacity-lane-lines": _repository(
        "udacity/CarND-Advanced-Lane-Lines",
        "MIT",
        "{}",
        tags=("road", "highway", "driving", "asphalt"),
        category="landscapes",
    ),
    "wp-twentytwentyfive": _repository("WordPress/twentytwentyfive", "CC0-1.0"),
    "elementary-wallpapers": _repository("elementary/wallpapers", "CC0-1.0"),
    "commons-animals-app": _repository(
        "avifenesh/androidApp", "", tags=("animal", "wildlife"), category="animals"
    ),
    "solus-artwork": _repository("getsolus/artwork", ""),
    "galliumos-artwork": _repository("GalliumOS/galliumos-artwork", "CC0-1.0"),
    "3dicons": _repository(
        "realvjy/3dicons",
        "CC0-1.0",
        "{}",
        "3d icon of {}",
        tags=("3d icon",),
        category="household",
        kind="render",
        style="3d render",
    ),
    "miniworld": _textures("miniworld", "miniworld/textures", "Apache-2.0"),
    "robosuite": _textures("robosuite", "robosuite/models/assets/textures", "MIT"),
    "arcade-kenney": _folder(
        "arcade",
        "arcade/resources/assets/images",
        partial(sprites.read_game_art, license="CC0-1.0"),
    ),
    "tango": _folder(
        "tango-icon-theme",
        "usr/share/icons/Tango/scalable",
        partial(sprites.read_theme, license="CC-PDDC"),
    ),
    "streamline-freehand-color": _icons("streamline-freehand-color", "CC-BY-4.0"),
    "streamline-ultimate-color": _icons("streamline-ultimate-color", "CC-BY-4.0"),
    "streamline-emojis": _icons("streamline-emojis", "CC-BY-4.0"),
    "flat-color-icons": _icons("flat-color-icons", "MIT"),
    "meteocons": _icons("meteocons", "MIT"),
    "game-icons": Source((f"{_ICONIFY}game-icons",), _game_icons),
    "dicebear-openPeeps": _dicebear("openPeeps", "CC0-1.0"),
    "dicebear-lorelei": _dicebear("lorelei", "CC0-1.0"),
    "dicebear-notionists": _dicebear("notionists", "CC0-1.0"),
    "dicebear-pixelArt": _dicebear("pixelArt", "CC0-1.0"),
    "dicebear-adventurer": _dicebear("adventurer", "CC-BY-4.0"),
    "dicebear-micah": _dicebear("micah", "CC-BY-4.0"),
    "dicebear-personas": _dicebear("personas", "CC-BY-4.0"),
    "dicebear-bigSmile": _dicebear("bigSmile", "CC-BY-4.0"),
    "dicebear-toonHead": _dicebear("toonHead", "CC-BY-4.0"),
    "synth-landscape": Source((), lambda _: scenes.read(1500, OWN)),
    "synth-shapes": Source((), lambda _: shapes.read(2500, OWN)),
}
