"""Homographies, displacement fields and sample positions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vqclip.generation.cutouts import Cutouts, geometry
from vqclip.generation.cutouts.augmentations import AUGMENTATIONS
from vqclip.generation.cutouts.drawing import Draw
from vqclip.generation.cutouts.methods import CUT_METHODS, wide_boxes
from vqclip.generation.cutouts.specification import bind
from vqclip.generation.cutouts.warping import Warps, take, warped_cutouts

CORNERS = torch.tensor(geometry.CONTROL_POINTS[:4])


def draw(n: int = 64, seed: int = 0) -> Draw:
    return Draw(n, torch.Generator().manual_seed(seed))


def project(homographies: Tensor, points: Tensor) -> Tensor:
    """Apply (n, 3, 3) to points (k, 2) or (n, k, 2)."""
    homogeneous = torch.cat([points, torch.ones(*points.shape[:-1], 1)], dim=-1)
    x_y_w = homogeneous @ homographies.mT
    return x_y_w[..., :2] / x_y_w[..., 2:]


def warps_of(homographies: Tensor, reflect: float = 0.0, fill: float = 0.0) -> Warps:
    n = len(homographies)
    levels = torch.zeros(n, dtype=torch.long)
    return Warps(homographies, (), levels, torch.full((n,), reflect), torch.full((n, 3), fill))


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 0.6))
def test_square_to_quad_meets_its_corners(seed: int, strength: float) -> None:
    corners = CORNERS * (1 - draw(8, seed).uniform(0, strength, 4, 2))
    met = project(geometry.square_to_quad(corners), CORNERS)
    torch.testing.assert_close(met, corners, atol=1e-5, rtol=0)


def test_perspective_moves_the_contents_corners_inwards() -> None:
    maps = bind("perspective(distortion=0.6,p=1)", AUGMENTATIONS)(draw())
    moved = project(torch.linalg.inv(maps), CORNERS)  # displayed positions of the crop's corners
    inwards = 1 - moved / CORNERS
    assert inwards.min() >= -1e-5
    assert 0.5 < inwards.max() <= 0.6 + 1e-5


def test_flip_mirrors() -> None:
    image = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    cutouts = Cutouts("crops", 1, augment=("flip(p=1)",), noise=0)
    plan = cutouts.plan((20, 20), 20, torch.Generator().manual_seed(0))
    torch.testing.assert_close(cutouts.apply(image, plan, 0, 1), image.flip(3), atol=1e-5, rtol=0)


def test_a_quarter_turn_is_rot90() -> None:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    turn = geometry.rotation_matrix(torch.tensor([90.0]))
    taken = warped_cutouts(image, warps_of(turn), 16, [0])
    torch.testing.assert_close(taken, image.rot90(1, (2, 3)), atol=1e-5, rtol=0)


def test_affine_stays_within_its_bounds() -> None:
    maps = bind("affine(degrees=15,translate=0.1,shear=0,p=1)", AUGMENTATIONS)(draw(500))
    angles = torch.atan2(maps[:, 1, 0], maps[:, 0, 0]).rad2deg()
    assert 13 < angles.abs().max() <= 15.001
    assert 0.18 < maps[:, :2, 2].abs().max() <= 0.2001
    assert (torch.linalg.det(maps[:, :2, :2]) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["crop", "resized-crop"])
def test_zooming_crops_stay_inside(name: str) -> None:
    maps = bind(f"{name}(p=1)", AUGMENTATIONS)(draw(500))
    assert project(maps, CORNERS).abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("method", ["crops", "avg-pooled", "normal-crops", "zoom(zoomed=1)"])
@pytest.mark.parametrize("hw", [(64, 64), (40, 90), (90, 40)])
def test_crops_are_inside_and_undistorted(method: str, hw: tuple[int, int]) -> None:
    framing = bind(method, CUT_METHODS)(draw(), hw, 24, 1.0)
    boxes = framing.homographies[framing.homographies[:, 2, :2].abs().sum(1) == 0]  # no tilt
    assert project(boxes, CORNERS).abs().max() <= 1 + 1e-5
    ratio = boxes[:, 0, 0] * hw[1] / (boxes[:, 1, 1] * hw[0])
    loosest = 1.2 if "zoom" in method else 1.0
    assert ratio.log().abs().max() <= math.log(loosest) + 1e-5


def test_cut_power_makes_crops_smaller() -> None:
    sides = [
        CUT_METHODS["crops"](draw(), (256, 256), 32, power).homographies[:, 0, 0].mean()
        for power in (0.25, 1.0, 4.0)
    ]
    assert sides[0] > sides[1] > sides[2]


def test_center_focus_pulls_crops_to_the_centre() -> None:
    spread = [
        bind(f"normal-crops(low=0.5,high=0.5,center_focus={focus})", CUT_METHODS)(
            draw(500), (200, 200), 32, 1.0
        )
        .homographies[:, :2, 2]
        .std()
        for focus in (0, 2, 8)
    ]
    assert spread[0] > spread[1] > spread[2]


def test_wide_boxes_contain_the_whole_image() -> None:
    shown = project(torch.linalg.inv(wide_boxes(draw(), (30, 70))), CORNERS)
    assert shown.abs().max() <= 1 + 1e-5


def test_beyond_the_edge_is_the_colour_or_the_mirrored_image() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    double = geometry.scaling(torch.tensor([2.0]), torch.tensor([2.0]))
    filled = warped_cutouts(image, warps_of(double, fill=0.25), 16, [0])
    torch.testing.assert_close(filled[:, :, 4:-4, 4:-4], image, atol=1e-5, rtol=0)
    assert (filled[:, :, :4] - 0.25).abs().max() < 1e-5
    mirrored = warped_cutouts(image, warps_of(double, reflect=1.0), 16, [0])
    expected = torch.cat([image.flip(3)[..., 4:], image, image.flip(3)[..., :4]], dim=3)
    torch.testing.assert_close(mirrored[:, :, 4:-4], expected, atol=1e-5, rtol=0)


def test_thin_plate_meets_its_control_points() -> None:
    size = 401  # pixel centres near the corners, and one at the centre
    basis = geometry.thin_plate_basis(size).view(5, size, size)
    at = [basis[:, 0, 0], basis[:, 0, -1], basis[:, -1, -1], basis[:, -1, 0], basis[:, 200, 200]]
    torch.testing.assert_close(torch.stack(at), torch.eye(5), atol=0.02, rtol=0)
    torch.testing.assert_close(basis.sum(0), torch.ones(size, size), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "bound"), [("elastic", 0.2), ("thin-plate(scale=0.2)", 0.5)])
def test_displacements_are_smooth_and_small(name: str, bound: float) -> None:
    bent = bind(name, AUGMENTATIONS)(draw())
    field = bent.field(bent.offsets, 64)
    assert field.shape == (64, 2, 64, 64)
    assert 0 < field.abs().max() < bound
    assert field.diff(dim=-1).abs().max() < bound / 4


def test_the_strongest_perspective_is_finite() -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tilts = ("perspective(distortion=0.95,p=1)",) * 3
    cutouts = Cutouts("pooled", 200, augment=tilts, noise=0)
    plan = cutouts.plan((32, 32), 16, torch.Generator().manual_seed(0))
    taken = cutouts.apply(image, plan, 0, 200)
    assert taken.isfinite().all()
    assert min(plan.levels) >= 0


@pytest.mark.parametrize("count", [1, 6, 8])
def test_cutouts_from_one_texture_match_cutouts_from_copies(
    count: int, generator: torch.Generator
) -> None:
    texture = torch.rand(1, 3, 9, 7, generator=generator, requires_grad=True)
    points = torch.rand(count, 5, 5, 2, generator=generator) * 2 - 1
    copies = texture.expand(count, -1, -1, -1)
    expected = torch.nn.functional.grid_sample(copies, points, align_corners=False)
    for found in (take(texture, points), take(copies, points)):
        assert torch.equal(found, expected)
    weights = torch.rand(expected.shape, generator=generator)
    wanted = torch.autograd.grad((expected * weights).sum(), texture)
    gradient = torch.autograd.grad((take(texture, points) * weights).sum(), texture)
    torch.testing.assert_close(gradient, wanted)
