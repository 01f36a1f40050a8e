"""A story: one optimisation whose prompts turn from scene to scene, seen by a moving camera."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from vqclip.config import StoryConfig
from vqclip.flow import blend
from vqclip.generation import Frame, Run
from vqclip.images import to_array
from vqclip.loading import Models
from vqclip.losses import PromptLoss
from vqclip.motion import move, parse_camera
from vqclip.targets import Targets, blend_targets, embed_prompts
from vqclip.timing import EASES
from vqclip.writers import FilmFrame


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


def tell(story: StoryConfig, models: Models, start: Tensor | None = None) -> Iterator[FilmFrame]:
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
    """The optimisation, and the camera that moves its picture.

    What a VQGAN decodes cannot follow a small motion: encoded and quantized again, it stays where
    it is, loses its colours and its detail. So the picture itself is moved: z = E(picture) takes
    what the codes can say of it, and picture − D(z) is added to all that is decoded until the next
    motion. CLIP sees it too, or it would correct at every frame what the audience never sees.
    """

    def __init__(self, story: StoryConfig, models: Models, start: Tensor | None) -> None:
        self.story = story
        config = replace(story.picture, prompts=story.scenes[0], steps=story.steps)
        self.run = Run(config, models, start)
        self.camera = parse_camera(story.zoom, story.pan, story.rotate)
        self.targets: list[list[Targets]] = [
            [embed_prompts(perceptor, scene) for scene in story.scenes]
            for perceptor in models.perceptors
        ]

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
