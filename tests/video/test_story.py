"""Stories with the built-in models, small images and few steps."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from vqclip.config import GenerateConfig, StoryConfig
from vqclip.config.prompts import parse_scenes
from vqclip.errors import UsageError
from vqclip.generation.losses import PromptLoss
from vqclip.generation.prompt_embeddings import embed_prompts
from vqclip.generation.step import step_alone
from vqclip.hub.loaders import Models, load_models
from vqclip.models.condition_stages import ClipEmbedding
from vqclip.models.vqgan import GumbelVQ
from vqclip.video import story as story_module
from vqclip.video.camera import Motion, move
from vqclip.video.story import MovedImage, StoryFrames, scene_at

SCENES = parse_scenes("a red apple ^ a green tree ^ a blue car | blurry:-0.5")
PICTURE = GenerateConfig(
    SCENES[0], size=(32, 32), seed=1, num_cutouts=2, init="random", precision="float32"
)


def story(**changes: Any) -> StoryConfig:
    settings = {"steps_per_scene": 4, "every": 2, **changes}
    return StoryConfig(settings.pop("scenes", SCENES), PICTURE, **settings)


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(PICTURE)


def pictures(config: StoryConfig, models: Models) -> list[Any]:
    return [frame.image for frame in StoryFrames(config, models) if frame.number >= 0]


def difference(a: Any, b: Any) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_scenes_turn_into_each_other() -> None:
    linear = story(steps_per_scene=10, transition=4, ease="linear")
    assert scene_at(linear, 6) == (0, 0, 0.0)
    for step, time in ((7, 0.25), (8, 0.5), (9, 0.75)):
        assert scene_at(linear, step) == (0, 1, time)
    assert scene_at(linear, 10) == (1, 1, 0.0)
    assert scene_at(linear, 29) == (2, 2, 0.0)  # the last scene does not change
    assert scene_at(story(steps_per_scene=10, loop=True, ease="linear"), 29) == (2, 0, 0.8)
    assert scene_at(story(steps_per_scene=10, transition=0), 9) == (0, 0, 0.0)
    assert scene_at(story(steps_per_scene=10), -3) == (0, 0, 0.0)


def test_targets_at_scene_boundaries_match_the_scenes(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = story(steps_per_scene=4)
    video = StoryFrames(config, models)
    seen: list[PromptLoss] = []
    monkeypatch.setattr(story_module, "step_alone", lambda run: seen.append(run.prompt_losses[0]))
    for step in range(config.steps):
        video._step(step)
    for number, scene in enumerate(SCENES):
        ((targets, weights, _),) = embed_prompts(models, scene).perceptors
        loss = seen[4 * number]
        assert torch.allclose(loss.targets[: len(targets)], targets, atol=1e-5)
        assert torch.equal(loss.weights[: len(weights)], weights)
        assert not loss.weights[len(weights) :].any()
    middle = seen[3].targets[0]
    ends = [embed_prompts(models, scene).perceptors[0][0][0] for scene in SCENES[:2]]
    assert float(middle.norm()) == pytest.approx(1, abs=1e-5)
    assert float(middle @ ends[0]) > float(ends[0] @ ends[1])
    assert float(middle @ ends[1]) > float(ends[0] @ ends[1])


def test_story_is_reproducible(models: Models) -> None:
    config = story(steps_per_scene=2, every=1)
    frames = pictures(config, models)
    assert len(frames) == 6
    assert all(frame.shape == (32, 32, 3) and frame.dtype == np.uint8 for frame in frames)
    again = pictures(config, models)
    assert all(map(np.array_equal, frames, again))
    assert not np.array_equal(frames[0], frames[-1])


@pytest.mark.slow
def test_single_scene_without_a_camera_equals_a_run(models: Models) -> None:
    from vqclip import generate
    from vqclip.media.images import to_array

    config = story(scenes=SCENES[:1], steps_per_scene=4)
    run = [to_array(frame.image) for frame in islice(generate(config.picture, models), 0, 4, 2)]
    assert all(map(np.array_equal, pictures(config, models), run))


@pytest.mark.slow
def test_a_loop_has_no_seam(models: Models) -> None:
    frames = pictures(story(loop=True, steps_per_scene=8, every=1, transition=6), models)
    steps = [difference(a, b) for a, b in pairwise(frames)]
    assert len(frames) == 24
    assert difference(frames[-1], frames[0]) < 1.5 * max(steps)
    assert difference(frames[-1], frames[0]) < 0.7 * difference(frames[12], frames[0])


@pytest.mark.slow
@pytest.mark.parametrize("camera", [{"pan": "4,0"}, {"zoom": "1.2"}, {"rotate": "0:0, 1:20"}])
def test_image_follows_the_camera(camera: dict[str, str], models: Models) -> None:
    from vqclip.video.camera import move, parse_camera

    config = story(scenes=SCENES[:1], steps_per_scene=4, every=1, **camera)
    still = pictures(story(scenes=SCENES[:1], steps_per_scene=4, every=1), models)
    frames = pictures(config, models)
    assert np.array_equal(frames[0], still[0])
    motion = parse_camera(config.zoom, config.pan, config.rotate)(1)
    moved = move(_tensor(frames[0]), motion)
    follows = (_tensor(frames[1]) - moved).abs().mean()
    stays = (_tensor(frames[1]) - _tensor(frames[0])).abs().mean()
    assert follows < 0.8 * stays


def _tensor(picture: Any) -> torch.Tensor:
    from PIL import Image

    from vqclip.media.images import to_tensor

    return to_tensor(Image.fromarray(picture))


def sharpness(frames: Sequence[Any]) -> float:
    """Return the difference of neighbouring pixels relative to the contrast."""
    last = frames[-1].astype(float)
    return float(np.abs(np.diff(last, axis=1)).mean() / last.std())


@pytest.mark.slow
def test_moving_image_stays_sharp(models: Models) -> None:
    camera = {"pan": "3,1", "rotate": "1"}
    shape = {"scenes": SCENES[:1], "steps_per_scene": 20, "every": 1}
    still, moving = (pictures(story(**shape, **c), models) for c in ({}, camera))
    assert sharpness(moving) > 0.5 * sharpness(still)
    assert moving[-1].std() > 0.6 * still[-1].std()


@pytest.mark.slow
def test_clip_sees_the_displayed_image(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise, CLIP corrects errors that are not displayed, and colours drift."""
    from vqclip.generation.cutouts import Cutouts
    from vqclip.media.images import to_array

    seen: list[Any] = []
    take = Cutouts.apply

    def look(self: Cutouts, image: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append(to_array(image))
        return take(self, image, *rest)

    monkeypatch.setattr(Cutouts, "apply", look)
    camera = {"pan": "3,1", "rotate": "1", "zoom": "1.05"}
    frames = pictures(story(scenes=SCENES[:1], every=1, **camera), models)
    assert len(seen) == len(frames) == 4
    assert all(map(np.array_equal, seen, frames))


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_camera_alone_only_moves_the_image(ema: float, models: Models) -> None:
    """Without optimisation, each frame is the previous frame moved."""
    from vqclip.video.camera import move, parse_camera

    still = replace(PICTURE, learning_rate=1e-12, ema=ema)
    config = StoryConfig(SCENES[:1], still, steps_per_scene=8, every=1, zoom="0.9", rotate="5")
    frames = pictures(config, models)
    motion = parse_camera(config.zoom, config.pan, config.rotate)(1)
    for before, after in pairwise(frames):
        assert (_tensor(after) - move(_tensor(before), motion)).abs().max() < 0.025


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps_per_scene": 0}, "steps per scene must be at least 1"),
        ({"transition": 9}, "transition takes 9 steps, but the scene has only 4"),
        ({"every": 0}, "every must be at least 1"),
    ],
)
def test_invalid_settings(changes: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        story(**changes)


def gumbel() -> GumbelVQ:
    """Return a VQGAN of 24 codes, chosen by a projection."""
    torch.manual_seed(0)
    model = GumbelVQ(tiny.vqgan().ddconfig, tiny.CODES, 4)
    torch.nn.init.normal_(model.codebook)
    return model.eval().requires_grad_(False)


def test_a_moved_image_keeps_its_codes_with_gumbel_vq(models: Models) -> None:
    own = replace(models, vqgan=gumbel())
    run = tiny.run(replace(PICTURE, prompts=SCENES[0], size=(16, 16), steps=2), own)
    _, expected = own.vqgan.tokenize(move(run.result().image, Motion()) * 2 - 1)
    MovedImage(run).move(Motion())
    assert torch.equal(own.vqgan.nearest_indices(run.z), expected)


def test_averaged_frame_keeps_the_camera_image_of_its_step(models: Models) -> None:
    run = tiny.run(replace(PICTURE, prompts=SCENES[0], steps=4, ema=0.5), models)
    step_alone(run)
    early, late = run.result(), run.result()
    at_once = early.image
    MovedImage(run).move(Motion(pan=(8, 0)))
    assert torch.equal(late.image, at_once)
    assert not torch.equal(run.result().image, at_once)


DRAFTED = replace(PICTURE, init="draft", size=(16, 16), drafts=1, style="3d", top_k=0)


def drafted(**changes: Any) -> StoryConfig:
    scenes = parse_scenes("a red apple ^ a blue car")
    return StoryConfig(scenes, DRAFTED, steps_per_scene=4, every=2, **changes)


@pytest.fixture(scope="module")
def transformer() -> Models:
    """Return tiny models: a transformer over 8x8 codes, for embeddings by the built-in CLIP."""
    models = tiny.with_tiny_clip(load_models(PICTURE))
    torch.manual_seed(0)
    stage = ClipEmbedding(256, 2, 16, styles=("3d",))
    own = tiny.transformer(stage, block_size=65, first=tiny.vqgan())
    return replace(models, vqgan=own.vqgan, transformer=own, guide=models.perceptors[0])


@pytest.mark.slow
def test_every_scene_is_pulled_to_its_own_draft(transformer: Models) -> None:
    film = StoryFrames(drafted(transition=2), transformer)
    apple, car = (scene.start for scene in film.scenes)
    assert not torch.equal(apple, car)
    assert all(scene.prior is not None for scene in film.scenes)
    targets = []
    for frame in film:
        assert frame.image.shape == (16, 16, 3)
        targets.append(film.run.target)
    assert torch.equal(targets[0], apple)
    assert torch.equal(targets[-1], car)
    assert not any(torch.equal(targets[1], one) for one in (apple, car)), "halfway"
    assert film.run.prior is film.scenes[1].prior


def test_drafts_move_with_the_camera_and_start_anew(transformer: Models) -> None:
    film = StoryFrames(drafted(zoom="1.5", transition=0), transformer)
    frames = iter(film)
    next(frames)
    assert film.scenes[0].image is None, "nothing has moved yet"
    next(frames)
    moved = film.scenes[0]
    assert moved.image is not None
    assert not torch.equal(moved.target, moved.start)
    next(frames)
    assert torch.equal(moved.target, moved.start), "its scene is over"
    assert film.scenes[1].image is not None


@pytest.mark.slow
def test_a_story_with_drafts_resumes_exactly(transformer: Models) -> None:
    config = drafted(zoom="1.2")
    film = StoryFrames(config, transformer)
    frames = iter(film)
    next(frames), next(frames)
    state = film.state()
    rest = [frame.image for frame in frames]
    again = StoryFrames(config, transformer, state)
    for left, right in zip(rest, again, strict=True):
        np.testing.assert_array_equal(left, right.image)


@pytest.mark.slow
def test_a_state_without_drafts_for_the_scenes_resumes(models: Models) -> None:
    """As in states from earlier versions; without drafts, nothing depends on them."""
    config = story()
    film = StoryFrames(config, models)
    frames = iter(film)
    next(frames)
    state = film.state()
    tensors = {name: one for name, one in state.tensors.items() if name != "starts"}
    rest = [frame.image for frame in frames]
    again = StoryFrames(config, models, replace(state, tensors=tensors))
    for left, right in zip(rest, again, strict=True):
        np.testing.assert_array_equal(left, right.image)
