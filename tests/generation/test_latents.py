from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.generation.latents import (
    PICTURES,
    codebook_range,
    grid_size,
    initial_latent,
)
from vqclip.generation.saved_codes import Codes, check_fits, codes_of, read_codes, save_codes


class Pixels:
    """A codec whose codes are vertical pairs of equal grey pixels."""

    codebook = torch.linspace(-1, 1, 11)[:, None]
    downsampling = 2
    resolution = 16

    def tokenize(self, image: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.nn.functional.avg_pool2d(image.mean(1), 2)
        indices = ((z + 1) * 5).round().long()
        return self.codes(indices), indices

    def codes(self, indices: Tensor) -> Tensor:
        return self.codebook[indices].permute(0, 3, 1, 2)


@pytest.mark.parametrize("init", ["random", *PICTURES])
@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (16, 7)])
def test_initial_latents_are_codes_and_follow_the_seed(init: str, grid: tuple[int, int]) -> None:
    def start(seed: int) -> Tensor:
        return initial_latent(Pixels(), init, grid, "cover", torch.Generator().manual_seed(seed))

    assert start(1).shape == (1, 1, *grid)
    assert torch.equal(start(1), start(1))
    assert torch.isin(start(1), Pixels.codebook).all()
    if grid != (1, 1):
        assert not torch.equal(start(1), start(2))


@pytest.mark.parametrize("name", PICTURES)
def test_generated_images_are_in_range(name: str, generator: torch.Generator) -> None:
    image = PICTURES[name](24, 33, generator)
    assert image.shape == (1, 3, 24, 33)
    assert 0 <= image.min() <= image.max() <= 1
    assert image.std() > 0.025


def test_perlin_noise_is_smooth(generator: torch.Generator) -> None:
    image = PICTURES["perlin"](64, 64, generator)
    assert (image[..., 1:] - image[..., :-1]).abs().mean() < 0.2 * image.std()


def test_image_can_be_the_init(tmp_path: Path, generator: torch.Generator) -> None:
    Image.new("L", (64, 32), 255).save(tmp_path / "white.png")
    z = initial_latent(Pixels(), str(tmp_path / "white.png"), (4, 4), "contain", generator)
    assert torch.equal(z, torch.ones(1, 1, 4, 4))


def test_codes_round_trip_through_a_file(tmp_path: Path, generator: torch.Generator) -> None:
    indices = torch.randint(11, (1, 3, 5), generator=generator)
    save_codes(tmp_path / "a.npz", Codes(indices))
    read = read_codes(tmp_path / "a.npz")
    assert torch.equal(read.indices, indices)
    assert read.codebook is read.vqgan is None  # as in files from older versions
    z = initial_latent(Pixels(), str(tmp_path / "a.npz"), (3, 5), "cover", generator)
    assert torch.equal(z, Pixels().codes(indices))


def test_codes_that_do_not_fit(tmp_path: Path, generator: torch.Generator) -> None:
    save_codes(tmp_path / "a.npz", Codes(torch.full((1, 3, 5), 11)))
    with pytest.raises(UsageError, match="go up to 11, but this VQGAN has only 11"):
        initial_latent(Pixels(), str(tmp_path / "a.npz"), (3, 5), "cover", generator)
    save_codes(tmp_path / "b.npz", Codes(torch.zeros(1, 3, 5, dtype=torch.int64)))
    with pytest.raises(UsageError, match="saved codes are 3x5"):
        initial_latent(Pixels(), str(tmp_path / "b.npz"), (4, 5), "cover", generator)


def test_codes_of_another_codebook_are_refused(tmp_path: Path, generator: torch.Generator) -> None:
    class Other(Pixels):
        @property
        def codebook(self) -> torch.Tensor:
            return super().codebook + 1

    indices = torch.randint(11, (1, 3, 5), generator=generator)
    save_codes(tmp_path / "a.npz", codes_of(indices, Pixels(), "mine"))
    read = read_codes(tmp_path / "a.npz")
    assert torch.equal(check_fits(read, Pixels()), indices)
    with pytest.raises(UsageError, match=r"a\.npz contains codes from another VQGAN, mine: select"):
        initial_latent(Other(), str(tmp_path / "a.npz"), (3, 5), "cover", generator)


def test_files_without_codes(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(UsageError, match="no such codes file"):
        read_codes(path)
    contents: list[dict[str, object]] = [
        {"other": [1]},
        {"indices": np.zeros((2, 2))},
        {"indices": np.zeros((1, 2, 2), np.float32)},
        {"indices": np.full((1, 2, 2), -1)},
        {"indices": np.array([object()], dtype=object)},
    ]
    for content in contents:
        np.savez(path, **content)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="not contain the codes"):
            read_codes(path)
    path.write_bytes(b"PK broken")
    with pytest.raises(UsageError, match="not contain the codes"):
        read_codes(path)


def test_unknown_inits_get_a_hint(generator: torch.Generator) -> None:
    with pytest.raises(UsageError, match="did you mean 'perlin'"):
        initial_latent(Pixels(), "perlyn", (2, 2), "cover", generator)


def test_grid_and_range() -> None:
    assert grid_size((500, 250), 16) == (16, 31)
    assert grid_size((3, 3), 16) == (1, 1)
    low, high = codebook_range(Pixels.codebook)
    assert low.shape == high.shape == (1, 1, 1, 1)
    assert (low.item(), high.item()) == (-1, 1)
