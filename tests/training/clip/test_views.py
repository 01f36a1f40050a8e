"""Views: each image has its own cutout."""

import torch

from vqclip.training.clip.settings import ViewSettings
from vqclip.training.clip.views import draw_views, whole

PLAIN = {"augment": (), "noise": 0.0, "cut_power": 1.0}


def test_each_view_shows_its_own_image() -> None:
    pictures = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 16, 16) / 10
    views = draw_views(ViewSettings(share=0.5, augment=("affine",), noise=0.0), 4, 2, (16, 16), 8)
    seen = views(pictures)
    assert seen.shape == (6, 3, 8, 8)
    expected = pictures[..., :8, :8]
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=0)


def test_whole_views_show_the_whole_image() -> None:
    pictures = torch.rand(4, 3, 16, 16)
    settings = ViewSettings(share=0.5, method="normal-crops(mean=0.5, std=0, low=0.5)", **PLAIN)
    seen = draw_views(settings, 3, 1, (16, 16), 8)(pictures)
    torch.testing.assert_close(seen[2:3], whole(pictures[2:3], 8))
    for i in (0, 1, 3):
        assert not torch.allclose(seen[i], whole(pictures[i : i + 1], 8)[0], atol=0.05)


def test_first_views_match_the_batch() -> None:
    pictures = torch.rand(5, 3, 16, 16, requires_grad=True)
    torch.manual_seed(0)
    views = draw_views(ViewSettings(), 5, 0, (16, 16), 8)
    first = views(pictures[:2])
    torch.testing.assert_close(first, views(pictures)[:2])
    first.sum().backward()
    assert pictures.grad is not None
    assert pictures.grad[:2].abs().amax((1, 2, 3)).min() > 0


def test_views_follow_torchs_seed() -> None:
    pictures = torch.rand(3, 3, 16, 16)
    seen = []
    for _ in range(2):
        torch.manual_seed(7)
        seen.append(draw_views(ViewSettings(), 3, 0, (16, 16), 8)(pictures))
    assert torch.equal(*seen)


def test_whole_keeps_images_of_the_right_size() -> None:
    pictures = torch.rand(1, 3, 8, 8)
    assert whole(pictures, 8) is pictures
    assert whole(pictures, 4).shape == (1, 3, 4, 4)
