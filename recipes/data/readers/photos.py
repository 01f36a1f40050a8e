"""Single photos in packages, captioned by hand, and folders of textures."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from recipes.data.candidates import Candidate
from recipes.data.pictures import opened
from recipes.data.readers.crops import crops


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo: its caption, licence and photographer."""

    caption: str
    license: str
    author: str = ""


# Photos in scikit-image that come with a licence, which excludes the moon and the motorcycle.
SCIKIT_IMAGE = {
    "chelsea.png": Photo("close-up photo of a tabby cat face", "CC0-1.0", "Stefan van der Walt"),
    "coffee.png": Photo(
        "a cup of coffee with a spoon on a wooden table", "CC0-1.0", "Rachel Michetti"
    ),
    "rocket.jpg": Photo("a white rocket on its launch pad", "public domain", "SpaceX"),
    "astronaut.png": Photo(
        "portrait of a smiling woman astronaut in an orange space suit", "public domain", "NASA"
    ),
    "hubble_deep_field.jpg": Photo("deep space galaxies on black sky", "public domain", "NASA"),
    "coins.png": Photo("gray ancient coins", "public domain", "Brooklyn Museum"),
    "brick.png": Photo("gray brick wall", "CC0-1.0", "CC0Textures"),
    "grass.png": Photo("gray grass texture", "CC0-1.0", "CC0Textures"),
    "gravel.png": Photo("gray gravel texture", "CC0-1.0", "CC0Textures"),
    "retina.jpg": Photo("orange retina of an eye", "CC0-1.0", "Mikael Häggström"),
    "ihc.png": Photo("microscope tissue image, purple and brown", "public domain"),
}
SCIKIT_LEARN = {
    "china.jpg": Photo(
        "chinese temple pavilion at the summer palace with trees", "CC-BY-2.0", "danielbuechele"
    ),
    "flower.jpg": Photo(
        "a red and orange dahlia flower close up", "CC-BY-2.0", "vultilion (on Flickr)"
    ),
}
# Photos under CC BY 4.0 or CC0. All others in the package are share-alike.
_AITZOL = "Aitzol Berasategi"
LOMIRI = {
    "Picture_0B_by_freespace.jpg": Photo(
        "half a fig in a red bowl on gray concrete", "CC-BY-4.0", 'Trevor "Freespace"'
    ),
    "Picture_1A_by_freespace.jpg": Photo(
        "colorful paint brushes", "CC-BY-4.0", 'Trevor "Freespace"'
    ),
    "Wine_by_Jakkub_Mede.jpg": Photo(
        "a drum on a beanbag, behind it a bottle of wine", "CC-BY-4.0", "Jakub Mede"
    ),
    "aitzgorri_by_Aitzol_Berasategi.jpg": Photo(
        "mountain, autumn forest and green meadow", "CC-BY-4.0", _AITZOL
    ),
    "friends_by_Aitzol_Berasategi.jpg": Photo(
        "two brown dogs look out of a wooden house", "CC-BY-4.0", _AITZOL
    ),
    "life_by_Aitzol_Berasategi.jpg": Photo(
        "a stream with rocks in the forest", "CC-BY-4.0", _AITZOL
    ),
    "picosdeeuropa_by_Aitzol_Berasategi.jpg": Photo(
        "rocky mountains with a path on green meadow", "CC-BY-4.0", _AITZOL
    ),
    "seeding_by_Clements_Engelhardt.jpg": Photo(
        "white dandelions in the grass", "CC0-1.0", "Clemens Engelhardt"
    ),
    "sunset_by_Aitzol_Berasategi.jpg": Photo("sunset over the hills", "CC-BY-4.0", _AITZOL),
}


def read_photos(
    source: str, folder: Path, photos: Mapping[str, Photo], count: int = 8, smallest: float = 0.55
) -> Iterator[Candidate]:
    """Yield ``count`` squares of each named photo in a folder."""
    for file, photo in photos.items():
        whole = Candidate(
            key=file,
            texts=(photo.caption,),
            draw=partial(_reduced, folder / file),
            kind="photo",
            license=photo.license,
            author=photo.author,
        )
        yield from crops(source, whole, count, smallest)


def _reduced(path: Path) -> Image.Image:
    """Return a photo reduced to at most 1400×900, whose crops are still larger than 128×128."""
    image = opened(path).convert("RGB")
    image.thumbnail((1400, 900), Image.Resampling.LANCZOS)
    return image


def _side(path: Path) -> int:
    with Image.open(path) as image:
        return min(image.size)


def read_textures(source: str, folder: Path, license: str) -> Iterator[Candidate]:
    """Yield five squares of each PNG in a folder, named after it: "wood_1" is a wood texture."""
    for path in sorted(folder.glob("*.png")):
        name = re.sub(r"_?\d+$", "", path.stem)
        if "logo" in name or _side(path) < 64:
            continue
        whole = Candidate(
            key=path.stem,
            texts=(f"{name} texture",),
            draw=partial(opened, path),
            kind="texture",
            license=license,
        )
        yield from crops(source, whole, 5, 0.4)
