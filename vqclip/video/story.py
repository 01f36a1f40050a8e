"""Stories: one optimisation with changing prompts and a moving camera."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vqclip.config import StoryConfig
from vqclip.generation.frame import Frame, watched
from vqclip.generation.losses import PromptLoss
from vqclip.generation.prompt_embeddings import blend_targets, embed_prompts
from vqclip.generation.state import State, resumed, state_of
from vqclip.generation.step import Run, begin, decode, step_alone
from vqclip.hub.loaders import Models
from vqclip.media.images import to_array
from vqclip.media.timing import EASES
from vqclip.media.writers import VideoFrame
from vqclip.video.camera import Motion, move, parse_camera
from vqclip.video.optical_flow import blend


def scene_at(story: StoryConfig, step: int) -> tuple[int, int, float]:
    """Return a step's scene, the scene that it changes into, and the progress from 0 to 1.

    Steps below 0 belong to the first scene, so that a loop starts in the middle of it. The last
    frame may have steps past the end; in a loop they belong to the first scene, otherwise to the
    last.
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


class MovedImage:
    """A run's image under a moving camera, with a residual that the codes cannot represent.

    A decoded image cannot follow a small motion: when encoded and quantized again, it stays in
    place and loses colour and detail. So the image itself is moved: z encodes the moved image as
    well as the codes allow, and the residual, image − decoded z, is added to every decoded image
    until the next motion. CLIP sees the sum too; otherwise it would correct errors that viewers
    never see.

    residual: (1, 3, h, w), for images in [0, 1]; None before the first motion.
    """

    def __init__(self, run: Run, residual: Tensor | None = None) -> None:
        self.run = run
        self._hold(residual)

    def _hold(self, residual: Tensor | None) -> None:
        self.residual = residual
        if residual is not None:
            self.run.compose = lambda decoded: decoded + residual

    @torch.no_grad()
    def move(self, motion: Motion) -> None:
        """Move the image; z keeps its offset from its running average, if there is one."""
        run = self.run
        image = move(run.result().image, motion)
        z = run.clamped(run.models.vqgan.latent(image * 2 - 1))
        lead = run.z - run.average.value(run.z)
        run.z.copy_(run.clamped(z + lead))
        run.average.sum = z * run.average.mass
        self._hold(image - decode(run.models, z))


class StoryFrames:
    """The frames of a story: an optimisation whose image is moved by a camera.

    A loop starts with hidden frames, numbered below 0, in which the first scene takes shape. The
    end of the video fades into the last of them, so that the video continues seamlessly at its
    beginning.

    state: a state returned by :meth:`state`, to continue from; on a CPU, the frames are then
        byte-identical to those of an uninterrupted run.
    on_draft: called with every draft frame, if drafts are sampled.
    """

    def __init__(
        self,
        story: StoryConfig,
        models: Models,
        state: State | None = None,
        on_draft: Callable[[Frame], None] | None = None,
    ) -> None:
        EASES[story.ease]  # raises UsageError now, not at the first transition
        self.story = story
        steps = (story.unseen + story.frames) * story.every
        config = replace(story.picture, prompts=story.scenes[0], steps=steps)
        if state:
            self.run = resumed(config, models, state)
        else:
            self.run = watched(begin(config, models), on_draft)
        tensors = state.tensors if state else {}
        residual = tensors.get("held")
        self.moved = MovedImage(self.run, None if residual is None else residual.to(models.device))
        self.camera = parse_camera(story.zoom, story.pan, story.rotate)
        self.scenes = [embed_prompts(models, scene) for scene in story.scenes]
        self.number = self.run.steps_done // story.every - story.unseen  # number of the next frame
        self.fading = min(story.unseen, story.changing // story.every)
        before = (np.asarray(image) for image in tensors.get("before", ()))
        self.before = deque(before, maxlen=self.fading)

    def state(self) -> State:
        """Return the state on which the next frame depends; call this only between frames."""
        state = state_of(self.run)
        tensors = dict(state.tensors)
        if self.moved.residual is not None:
            tensors["held"] = self.moved.residual.cpu()
        if self.before:
            tensors["before"] = torch.from_numpy(np.stack(self.before))
        return replace(state, tensors=tensors)

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the remaining frames."""
        while self.number < self.story.frames:
            frame = self.next(self.number)
            self.number += 1
            if frame.number < 0:
                self.before.append(frame.image)
            yield self._faded(frame)
        self.run.result()

    def _faded(self, frame: VideoFrame) -> VideoFrame:
        late = frame.number - (self.story.frames - self.fading)
        if late < 0:
            return frame
        share = (late + 1) / (self.fading + 1)
        return replace(frame, image=blend(frame.image, self.before[late], share))

    def next(self, number: int) -> VideoFrame:
        """Move the camera and run one frame's steps; return the frame from before these steps."""
        motion = self.camera(number)
        if self.run.steps_done and motion:
            self.moved.move(motion)
        step = number * self.story.every
        first, *_ = [self._step(step + more) for more in range(self.story.every)]
        return VideoFrame(number, to_array(first.image))

    def _step(self, step: int) -> Frame:
        here, there, time = scene_at(self.story, step)
        both = zip(self.scenes[here].perceptors, self.scenes[there].perceptors, strict=True)
        self.run.prompt_losses = [PromptLoss(*blend_targets(a, b, time)) for a, b in both]
        return step_alone(self.run)
