"""Videos that are drawn, from config to files: a story, a drawing, a clip in another style."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from vqclip.config import FilmOutput, StoryConfig
from vqclip.errors import UsageError
from vqclip.generation.frame import Frame
from vqclip.hub.loaders import Models
from vqclip.media.writers import Array, FilmFrame
from vqclip.runs.render import metadata
from vqclip.video.restyle import PreviousFrame, SourceVideo, drawn_size, restyle_frame
from vqclip.video.story import StoryFrames
from vqclip.video.work_folder import WorkFolder


class StoryRun:
    """One story on its way: its frames in a folder, and at the end the videos.

    Stopped or killed, it continues from the state beside the frames, to the same bytes.
    """

    def __init__(self, story: StoryConfig, output: FilmOutput, models: Models) -> None:
        self.story, self.models = story, models
        scenes = story.to_dict()
        settings = {**metadata(story.picture, models), "story": scenes}
        settings["prompt"] = " ^ ".join(scenes["scenes"])
        self.work_folder = WorkFolder(output, settings)

    def opened(self) -> AbstractContextManager[None]:
        """Return the context of :meth:`run`; see :class:`vqclip.video.work_folder.WorkFolder`."""
        return self.work_folder.opened()

    def run(
        self,
        on_frame: Callable[[FilmFrame], None],
        on_draft: Callable[[Frame], None] | None = None,
    ) -> None:
        """Draw the frames that are missing; write the videos.

        on_frame: is called with every frame, those below 0 that no video shows among them.
        on_draft: is called with every frame of the drafts, if any are sampled.

        Raises:
            VqclipError: the run failed, or a file could not be written.
            KeyboardInterrupt: Ctrl-C; the frames so far are kept, and where they continue.
        """
        frames = StoryFrames(self.story, self.models, self.work_folder.state(), on_draft)
        with self.work_folder.keeping():
            for frame in frames:
                if frame.number >= 0:
                    self.work_folder.put(frame.number, frame.picture)
                self.work_folder.keep(frames.state())
                on_frame(frame)
        self.work_folder.write_films(self.story.frames)


class RestyleRun:
    """One clip on its way into another style: its frames in a folder, and at the end the videos.

    All that the next frame depends on is the clip and the last result, which is on the disk: a run
    that was stopped continues where it was, to the same bytes.
    """

    def __init__(self, source: SourceVideo, output: FilmOutput, models: Models) -> None:
        self.source, self.models = source, models
        config = self.config = source.config
        self.size = drawn_size(source, models)
        settings = metadata(replace(config.picture, size=self.size), models)
        settings["restyle"] = config.to_dict() | {"bytes": source.bytes}
        sound = source.path if source.is_film else None
        film = replace(output.film, rate=source.rate, sound=sound)
        self.work_folder = WorkFolder(replace(output, film=film), settings)

    def run(self, on_frame: Callable[[int, Array], None]) -> int:
        """Draw what is missing, write the videos; return how many frames they have.

        Ctrl-C leaves the frames so far, and no video.

        Raises:
            UsageError: the folder holds frames of other settings, or another process is at work.
            VqclipError: the run failed, or a file could not be written.
        """
        with self.work_folder.opened():
            count = self._draw(on_frame)
            self.work_folder.write_films(count)
        return count

    def _draw(self, on_frame: Callable[[int, Array], None]) -> int:
        before, number = None, -1
        for number, frame in enumerate(self.source.read(self.size)):
            result = self.work_folder.frame(number)
            if result is None:
                result = restyle_frame(self.config, self.models, frame, before)
                self.work_folder.put(number, result)
            before = PreviousFrame(frame, result)
            on_frame(number + 1, result)
        if number < 0:
            raise UsageError(f"{self.source.path} has no frames")
        return number + 1
