"""Stories: one optimisation with changing prompts and a moving camera."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vqclip.config import StoryConfig
from vqclip.generation.frame import Frame, decode, watched
from vqclip.generation.losses import PromptLoss
from vqclip.generation.prompt_embeddings import blend_targets
from vqclip.generation.state import State, resumed, state_of
from vqclip.generation.step import Run, begin, step_alone
from vqclip.hub.loaders import Models
from vqclip.media.images import to_array
from vqclip.media.timing import EASES
from vqclip.media.writers import VideoFrame
from vqclip.video.camera import Motion, move, parse_camera
from vqclip.video.optical_flow import blend

_KEPT = 0.8  # fraction of the residual kept at each motion if z is pulled towards a draft


def scene_at(story: StoryConfig, step: int) -> tuple[int, int, float]:
    """Return a step's scene, the scene it is changing into, and the progress of the change.

    The progress runs from 0 to 1; outside a change, both scenes are the same. Negative steps belong
    to the first scene, so a loop starts in the middle of that scene. The last frame may include
    steps past the end of the story. In a loop, such steps belong to the first scene; otherwise,
    they belong to the last.
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

    If a decoded image is moved slightly and then encoded and quantized again, it stays in place and
    loses colour and detail. This class therefore moves the image itself. z encodes the moved image
    as well as the codes allow, and the residual, image − decoded z, is added to every decoded image
    until the next motion. CLIP also sees the sum; otherwise it would correct errors that viewers
    never see. A draft keeps its detail as it moves. If z is pulled towards a draft, the residual
    therefore fades with every motion, and its errors do not build up.

    residual: (1, 3, h, w), for images in [0, 1]; None before the first motion.
    """

    def __init__(self, run: Run, residual: Tensor | None = None) -> None:
        self.run = run
        self.kept = _KEPT if run.derived.init_weight else 1.0
        self._hold(residual)

    def _hold(self, residual: Tensor | None) -> None:
        self.residual = residual
        if residual is not None:
            self.run.compose = lambda decoded: decoded + residual

    @torch.no_grad()
    def move(self, motion: Motion) -> None:
        """Move the image; z keeps its offset from the running average, if there is one."""
        run = self.run
        image = move(run.result().image, motion)
        z = run.clamped(run.models.vqgan.latent(image * 2 - 1))
        lead = run.z - run.average.value(run.z)
        run.z.copy_(run.clamped(z + lead))
        run.average.sum = z * run.average.mass
        self._hold(self.kept * (image - decode(run.models, z)))


class StoryScene:
    """A scene's prompts, and the draft that its image is pulled towards.

    The camera also moves the image of the draft while the scene lasts.

    run: the run whose starting z is the draft.
    image: the moved draft, (1, 3, h, w) in [0, 1]; None before the first motion.
    target: the z of the draft or of its moved image, (1, embed_dim, h/f, w/f).
    """

    def __init__(self, run: Run, image: Tensor | None = None) -> None:
        self.models, self.start = run.models, run.start
        self.prompts, self.prior = run.prompts, run.prior
        self.show(image)

    @torch.no_grad()
    def show(self, image: Tensor | None) -> None:
        """Replace the image of the draft; None restores the original draft."""
        self.image = image
        self.target = self.start if image is None else self.models.vqgan.latent(image * 2 - 1)

    @torch.no_grad()
    def move(self, motion: Motion) -> None:
        """Move the image of the draft."""
        image = decode(self.models, self.start).clamp(0, 1) if self.image is None else self.image
        self.show(move(image, motion))


class StoryFrames:
    """The frames of a story, from one optimisation whose image is moved by a camera.

    If the story starts from a draft, every scene has its own draft, and the image is pulled from
    one draft to the next.

    A loop starts with hidden frames, numbered below 0, in which the first scene takes shape. The
    last frames of the video fade into the last hidden frames, so the video loops seamlessly.

    state: a state from :meth:`state` that the story continues from. On a CPU, the frames are then
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
        configs = [replace(story.picture, prompts=scene, steps=steps) for scene in story.scenes]
        tensors = state.tensors if state else {}
        if state:
            self.run = resumed(configs[0], models, state)
        else:
            self.run = watched(begin(configs[0], models), on_draft)
        starts: Sequence[Tensor | None]  # None: a draft is to be sampled
        if "starts" in tensors:
            starts = tensors["starts"].to(models.device).chunk(len(configs))
        else:  # states from earlier versions have no drafts for their scenes
            drafted = state is None and self.run.derived.init == "draft"
            starts = [None if drafted else self.run.start] * len(configs)
        others = (
            watched(begin(config, models, start), on_draft)
            for config, start in zip(configs[1:], starts[1:], strict=True)
        )
        self.scenes = [
            StoryScene(run, _on(models, tensors.get(f"scene {number}")))
            for number, run in enumerate((self.run, *others))
        ]
        self.moved = MovedImage(self.run, _on(models, tensors.get("held")))
        self.camera = parse_camera(story.zoom, story.pan, story.rotate)
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
        tensors["starts"] = torch.cat([scene.start for scene in self.scenes]).cpu()
        for number, scene in enumerate(self.scenes):
            if scene.image is not None:
                tensors[f"scene {number}"] = scene.image.cpu()
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
        """Move the image and run a frame's steps; return the frame as it was before these steps."""
        step, motion = number * self.story.every, self.camera(number)
        if self.run.steps_done and motion:
            self.moved.move(motion)
            self._move_targets(step, motion)
        first, *_ = [self._step(step + more) for more in range(self.story.every)]
        return VideoFrame(number, to_array(first.image))

    def _move_targets(self, step: int, motion: Motion) -> None:
        """Move the drafts of the current scenes, and restore those of the other scenes."""
        current = scene_at(self.story, step)[:2]
        for number, scene in enumerate(self.scenes):
            if number in current:
                scene.move(motion)
            else:
                scene.show(None)

    def _step(self, step: int) -> Frame:
        here, there, time = scene_at(self.story, step)
        old, new = self.scenes[here], self.scenes[there]
        both = zip(old.prompts.perceptors, new.prompts.perceptors, strict=True)
        self.run.prompt_losses = [PromptLoss(*blend_targets(a, b, time)) for a, b in both]
        if self.story.picture.init_target == "start":
            self.run.target = torch.lerp(old.target, new.target, time)
        self.run.prior = (old if time < 0.5 else new).prior
        return step_alone(self.run)


def _on(models: Models, tensor: Tensor | None) -> Tensor | None:
    """Return ``tensor`` on the models' device, or None if it is None."""
    return None if tensor is None else tensor.to(models.device)
