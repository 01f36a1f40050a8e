"""Photometric steps change only the intended values, by the drawn amounts."""

import colorsys

import torch
from torch import Tensor

from vqclip.generation.cutouts.augmentations import AUGMENTATIONS
from vqclip.generation.cutouts.drawing import Draw
from vqclip.generation.cutouts.photometric import LUMA, Colour, Erase, Noise, Sharpen
from vqclip.generation.cutouts.specification import bind

ALL = slice(None)


def batch_of(n: int = 4, side: int = 16) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def draw(n: int = 64) -> Draw:
    return Draw(n, torch.Generator().manual_seed(0))


def luma(batch: Tensor) -> Tensor:
    return torch.einsum("nchw,c->nhw", batch, torch.tensor(LUMA))


def colour(n: int = 4, **changes: float) -> Colour:
    settings = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0} | changes
    return Colour(**{name: torch.full((n,), value) for name, value in settings.items()})


def test_neutral_colour_changes_nothing() -> None:
    torch.testing.assert_close(colour()(batch_of(), ALL), batch_of())


def test_brightness_multiplies() -> None:
    torch.testing.assert_close(colour(brightness=1.3)(batch_of(), ALL), 1.3 * batch_of())


def test_contrast_scales_about_the_mean_luma() -> None:
    mean = luma(batch_of()).mean((1, 2))[:, None, None, None]
    expected = mean + 0.5 * (batch_of() - mean)
    torch.testing.assert_close(colour(contrast=0.5)(batch_of(), ALL), expected)


def test_saturation_keeps_the_luma() -> None:
    for factor in (0.0, 0.5, 1.5):
        changed = colour(saturation=factor)(batch_of(), ALL)
        torch.testing.assert_close(luma(changed), luma(batch_of()))
    grey = colour(saturation=0.0)(batch_of(), ALL)
    assert (grey - grey.mean(1, keepdim=True)).abs().max() < 1e-6


def test_hue_turns_red_to_green_to_blue_and_keeps_grey() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    green = colour(1, hue=1 / 3)(red, ALL).flatten()
    torch.testing.assert_close(green, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)
    assert colorsys.rgb_to_hsv(*green.tolist())[0] - 1 / 3 < 1e-6
    grey = torch.full((1, 3, 4, 4), 0.4)
    torch.testing.assert_close(colour(1, hue=0.21)(grey, ALL), grey)


def test_jitter_stays_within_its_bounds() -> None:
    step = bind("jitter(brightness=0.2,contrast=0.1,saturation=0,hue=0.05,p=1)", AUGMENTATIONS)(
        draw(500)
    )
    assert 0.19 < (step.brightness - 1).abs().max() <= 0.2001
    assert 0.095 < (step.contrast - 1).abs().max() <= 0.1001
    assert (step.saturation == 1).all()
    assert 0.045 < step.hue.abs().max() <= 0.0501


def test_sharpening_keeps_flat_areas_and_scales_detail() -> None:
    flat = torch.full((1, 3, 8, 8), 0.3)
    torch.testing.assert_close(Sharpen(torch.tensor([2.0]))(flat, ALL), flat)
    changes = [
        (Sharpen(torch.full((4,), f))(batch_of(), ALL) - 0.5).square().mean()
        for f in (0.0, 1.0, 2.0)
    ]
    assert changes[0] < changes[1] < changes[2]
    assert torch.equal(Sharpen(torch.ones(4))(batch_of(), ALL), batch_of())


def test_smoothing_is_pils_kernel() -> None:
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 13.0
    smooth = Sharpen(torch.zeros(1))(dot.expand(1, 3, 5, 5), ALL)[0, 0]
    expected = torch.ones(3, 3)
    expected[1, 1] = 5.0
    torch.testing.assert_close(smooth[1:4, 1:4], expected)


def test_erasing_blacks_out_exactly_one_rectangle() -> None:
    batch = batch_of(1, 10) + 0.1
    erased = Erase(torch.tensor([[0.2, 0.5]]), torch.tensor([[0.3, 0.4]]))(batch, ALL)
    assert (erased[..., 5:9, 2:5] == 0).all()
    kept = torch.ones(10, 10, dtype=torch.bool)
    kept[5:9, 2:5] = False
    assert torch.equal(erased[..., kept], batch[..., kept])


def test_erased_areas_and_shapes_are_within_bounds() -> None:
    step = bind("erasing(p=1)", AUGMENTATIONS)(draw(1000))
    area, ratio = step.sides.prod(1), step.sides[:, 0] / step.sides[:, 1]
    assert area.max() <= 0.4001
    assert area.min() >= 0.09
    assert ratio.min() > 0.29
    assert ratio.max() < 3.4
    assert (step.corner + step.sides).max() <= 1 + 1e-6


def test_noise_has_its_deviation_and_depends_only_on_the_seed() -> None:
    step = Noise(torch.tensor([0.1, 0.0, 0.3]), torch.tensor([5, 6, 5]))
    batch = torch.zeros(3, 3, 64, 64)
    noisy = step(batch, ALL)
    assert abs(noisy[0].std() - 0.1) < 0.01
    assert (noisy[1] == 0).all()
    torch.testing.assert_close(noisy[2], noisy[0] * 3)
    assert torch.equal(step(batch[2:], slice(2, 3)), noisy[2:])
    assert (batch == 0).all()


def test_each_row_is_drawn_separately() -> None:
    step = bind("jitter(p=1)", AUGMENTATIONS)(draw(4))
    same = batch_of(1).expand(4, -1, -1, -1)
    whole = step(same, slice(0, 4))
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 4
    assert torch.equal(step(same[:2], slice(2, 4)), whole[2:])
