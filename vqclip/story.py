"""A story: one optimisation whose prompts turn from scene to scene, seen by a moving camera."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vqclip.config import StoryConfig
from vqclip.flow import Array, blend
from vqclip.generation import Frame, Run
from vqclip.images import to_array
from vqclip.loading import Models
from vqclip.losses import PromptLoss
from vqclip.motion import move, parse_camera
from vqclip.targets import Targets, blend_targets, embed_prompts
from vqclip.timing import EASES


@dataclass(frozen=True)
class StoryFrame:
    """One frame of the film.

    number: from 0. picture: (h, w, 3) uint8. losses: name to scalar tensor.
    """

    number: int
    picture: Array
    losses: Mapping[str, Tensor]


def scene_at(story: StoryConfig, step: int) -> tuple[int, int, float]:
    """Return the scene of a step, the one that it turns into, and how far that is, 0 to 1.

    Steps below 0 belong to the first scene: with them the film begins in the middle of it.
    """
    scene, since = divmod(max(step, 0), story.steps_per_scene)
    following = scene + 1
    if following >= len(story.scenes):
        following = 0 if story.loop else scene
    left = story.steps_per_scene - since
    if following == scene or left >= story.changing:
        return scene, scene, 0.0
    return scene, following, EASES[story.ease](1 - left / story.changing)


def tell(story: StoryConfig, models: Models, start: Tensor | None = None) -> Iterator[StoryFrame]:
    """Yield the frames of a story, ``story.frames`` of them, from z ``start`` if there is one.

    A loop begins with steps that are not shown, in which the first scene takes shape; into the
    pictures of the last of them the film's end fades, and so goes on where it began.

    Raises:
        UsageError: an unknown name, a missing file, a value that the models do not admit.
        VqclipError: the optimisation diverged.
    """
    EASES[story.ease]  # an unknown one is refused before it is needed
    film = _Film(story, models, start)
    unseen = -(-story.steps_per_scene // story.every) if story.loop else 0
    fading = min(unseen, story.changing // story.every)
    before = deque((film.next(number).picture for number in range(-unseen, 0)), maxlen=fading)
    for number in range(story.frames):
        frame = film.next(number)
        late = number - (story.frames - fading)
        if late >= 0:
            mixed = blend(frame.picture, before[late], (late + 1) / (fading + 1))
            frame = replace(frame, picture=mixed)
        yield frame
    film.run.result()


class _Film:
    """The optimisation, and the picture that the camera sees.

    What a VQGAN decodes cannot follow a small motion: encoded and quantized again, it stays where
    it is, loses its colours and its detail. So the picture itself is moved, and of the
    optimisation it takes only what that changes: seen += D(z after the steps) − D(z before), where
    z before = E(seen).
    """

    def __init__(self, story: StoryConfig, models: Models, start: Tensor | None) -> None:
        self.story = story
        config = replace(story.picture, prompts=story.scenes[0], steps=story.steps)
        self.run = Run(config, models, start)
        self.vqgan = models.vqgan
        self.camera = parse_camera(story.zoom, story.pan, story.rotate)
        self.seen: Tensor | None = None  # (1, 3, h, w) in [-1, 1], once a camera has moved
        self.targets: list[list[Targets]] = [
            [embed_prompts(perceptor, scene) for scene in story.scenes]
            for perceptor in models.perceptors
        ]

    def next(self, number: int) -> StoryFrame:
        """Move the camera, return the picture, and take the steps up to the next one."""
        motion = self.camera(number)
        if self.seen is not None and motion:
            self.seen = move(self.seen, motion)
            self._place(self.seen)
        step = number * self.story.every
        first, *_ = [self._step(step + more) for more in range(self.story.every)]
        shown = first.image if self.seen is None else self.seen
        if self.camera.moves:
            change = self.run.result().image - first.image
            self.seen = (shown + change).clamp(-1, 1)
        return StoryFrame(number, to_array(shown), first.losses)

    def _step(self, step: int) -> Frame:
        here, there, time = scene_at(self.story, step)
        self.run.prompt_losses = [
            PromptLoss(*blend_targets(targets[here], targets[there], time))
            for targets in self.targets
        ]
        return self.run.step()

    @torch.no_grad()
    def _place(self, picture: Tensor) -> None:
        """Let the optimisation go on from a picture; what is averaged moves along."""
        run = self.run
        z = self.vqgan.encode(picture).maximum(run.low).minimum(run.high)
        run.average.sum += (z - run.z) * run.average.mass
        run.z.copy_(z)
