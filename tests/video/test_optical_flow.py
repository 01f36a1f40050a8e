import builtins
from typing import Any

import numpy as np
import pytest

from vqclip.errors import UsageError
from vqclip.video.optical_flow import Between, blend, find_flow, opencv, visibility, warp


def texture(right: int = 0, down: int = 0, side: int = 96) -> Any:
    """Return part of a large smooth random image; its content moves left and up."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    large = opencv().resize(noise, (180, 180), interpolation=opencv().INTER_CUBIC)
    return large[20 + down : 20 + down + side, 20 + right : 20 + right + side]


def test_flow_finds_a_shift() -> None:
    flow = find_flow(texture(), texture(3, 2))[8:-8, 8:-8]
    assert np.abs(flow - (-3, -2)).mean() < 0.2


def test_warping_undoes_it() -> None:
    here, there = texture(), texture(3, 2)
    back = warp(there, find_flow(here, there)).astype(int)
    assert np.abs(back - here)[8:-8, 8:-8].mean() < 3
    assert np.abs(there.astype(int) - here).mean() > 20
    still = np.zeros((96, 96, 2), np.float32)
    assert np.array_equal(warp(here, still), here)


def test_content_that_left_the_image_is_not_visible() -> None:
    here, there = texture(), texture(12, 0)  # moves left, so that the left edge disappears
    seen = visibility(find_flow(here, there), find_flow(there, here))
    assert seen.shape == (96, 96)
    assert seen[:, 20:-4].mean() > 0.9
    assert seen[:, :8].mean() < 0.3


def test_intermediate_frames_move_instead_of_fading() -> None:
    first, middle, second = texture(), texture(4, 0), texture(8, 0)
    between = Between(first, second)
    moved = np.abs(between(0.5).astype(int) - middle)[:, 12:-12].mean()
    faded = np.abs(blend(first, second, 0.5).astype(int) - middle)[:, 12:-12].mean()
    assert moved < faded / 3
    assert np.array_equal(between(0), first)
    assert np.array_equal(between(1), second)


def test_small_images_have_flow_too() -> None:
    assert find_flow(texture(side=8), texture(side=8)).shape == (8, 8, 2)


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "cv2":
            raise ImportError
        return real(name, *rest, **more)

    opencv.cache_clear()
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=r"pip install 'vqclip\[flow\]'"):
        opencv()
