"""A story: one optimisation whose prompts turn from scene to scene, seen by a moving camera."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vqclip.config import StoryConfig
from vqclip.generation.loop import Frame, Run
from vqclip.generation.losses import PromptLoss
from vqclip.generation.prompt_embeddings import Targets, blend_targets, embed_prompts
from vqclip.generation.state import State
from vqclip.hub.loaders import Models
from vqclip.media.images import to_array
from vqclip.media.timing import EASES
from vqclip.media.writers import FilmFrame
from vqclip.video.camera import move, parse_camera
from vqclip.video.optical_flow import blend


def scene_at(story: StoryConfig, step: int) -> tuple[int, int, float]:
    """Return the scene of a step, the one that it turns into, and how far that is, 0 to 1.

    Steps below 0 belong to the first scene: with them the film begins in the middle of it. So do
    those behind the end of a loop, else to the last: the steps of the last frame may go beyond.
    """
    step = step % story.steps if story.loop and step > 0 else min(step, story.steps - 1)
    scene, since = divmod(max(step, 0), story.steps_per_scene)
    following = scene + 1
    if following >= len(story.scenes):
        following = 0 if story.loop else scene
    left = story.steps_per_scene - since
    if following == scene or left >= story.changing:
        return scene, scene, 0.0
    return scene, following, EASES[story.ease](1 - left / story.changing)


def tell(story: StoryConfig, models: Models, start: Tensor | None = None) -> Iterator[FilmFrame]:
    """Yield the frames of a story, ``story.frames`` of them, from z ``start`` if there is one.

    Raises:
        UsageError: an unknown name, a missing file, a value that the models do not admit.
        VqclipError: the optimisation diverged.
    """
    return (frame for frame in Telling(story, models, start) if frame.number >= 0)


class Telling:
    """The optimisation, and the camera that moves its picture; an iterator over the frames.

    A loop begins with steps that are not shown, in frames below 0, in which the first scene takes
    shape; into the pictures of the last of them the film's end fades, to go on where it began.

    What a VQGAN decodes cannot follow a small motion: encoded and quantized again, it stays where
    it is, loses its colours and its detail. So the picture itself is moved: z = E(picture) takes
    what the codes can say of it, and picture − D(z) is added to all that is decoded until the next
    motion. CLIP sees it too, or it would correct at every frame what the audience never sees.

    start: z to start from. state: of :meth:`state`, where it goes on, to the same bytes on a CPU.
    """

    def __init__(
        self,
        story: StoryConfig,
        models: Models,
        start: Tensor | None = None,
        state: State | None = None,
    ) -> None:
        EASES[story.ease]  # an unknown one is refused before it is needed
        self.story = story
        steps = (story.unseen + story.frames) * story.every
        config = replace(story.picture, prompts=story.scenes[0], steps=steps)
        self.run = Run.resumed(config, models, state) if state else Run(config, models, start)
        self.camera = parse_camera(story.zoom, story.pan, story.rotate)
        self.targets: list[list[Targets]] = [
            [embed_prompts(perceptor, scene) for scene in story.scenes]
            for perceptor in models.perceptors
        ]
        self.number = self.run.steps_done // story.every - story.unseen  # of the next frame
        self.fading = min(story.unseen, story.changing // story.every)
        before = state.tensors.get("before", ()) if state else ()
        self.before = deque((np.asarray(picture) for picture in before), maxlen=self.fading)

    def state(self) -> State:
        """Return all that the next frame depends on; it is whole between two frames only."""
        state = self.run.state()
        if not self.before:
            return state
        before = torch.from_numpy(np.stack(self.before))
        return replace(state, tensors={**state.tensors, "before": before})

    def __iter__(self) -> Iterator[FilmFrame]:
        """Yield the frames that are left."""
        while self.number < self.story.frames:
            frame = self.next(self.number)
            self.number += 1
            if frame.number < 0:
                self.before.append(frame.picture)
            yield self._faded(frame)
        self.run.result()

    def _faded(self, frame: FilmFrame) -> FilmFrame:
        late = frame.number - (self.story.frames - self.fading)
        if late < 0:
            return frame
        share = (late + 1) / (self.fading + 1)
        return replace(frame, picture=blend(frame.picture, self.before[late], share))

    def next(self, number: int) -> FilmFrame:
        """Move the camera, return the picture, and take the steps up to the next one."""
        motion = self.camera(number)
        if self.run.steps_done and motion:
            self.run.go_on_from(move(self.run.result().image, motion))
        step = number * self.story.every
        first, *_ = [self._step(step + more) for more in range(self.story.every)]
        return FilmFrame(number, to_array(first.image))

    def _step(self, step: int) -> Frame:
        here, there, time = scene_at(self.story, step)
        self.run.prompt_losses = [
            PromptLoss(*blend_targets(targets[here], targets[there], time))
            for targets in self.targets
        ]
        return self.run.step()
