"""Stories and restyled videos, from config to files."""

from collections.abc import Callable
from dataclasses import replace

from vqclip.config import StoryConfig, VideoOutput
from vqclip.errors import UsageError
from vqclip.generation.frame import Frame
from vqclip.hub.loaders import Models
from vqclip.media.writers import Array, VideoFrame
from vqclip.runs.render import metadata
from vqclip.video.restyle import PreviousFrame, SourceVideo, drawn_size, restyle_frame
from vqclip.video.story import StoryFrames
from vqclip.video.work_folder import WorkFolder


class StoryRun:
    """Renders one story: frames in a folder, then the videos.

    A story that was stopped or killed continues from the saved state. Its files are then
    byte-identical to those of an uninterrupted run.
    """

    def __init__(self, story: StoryConfig, output: VideoOutput, models: Models) -> None:
        self.story, self.models = story, models
        scenes = story.to_dict()
        settings = {**metadata(story.picture, models), "story": scenes}
        settings["prompt"] = " ^ ".join(scenes["scenes"])
        self.work_folder = WorkFolder(output, settings)

    def run(
        self,
        on_frame: Callable[[VideoFrame], None],
        on_draft: Callable[[Frame], None] | None = None,
    ) -> None:
        """Generate the missing frames and write the videos.

        on_frame: called with every frame, including hidden ones, which have negative numbers.
        on_draft: called with every draft frame, if drafts are sampled.

        Raises:
            VqclipError: the run failed or a file could not be written.
            KeyboardInterrupt: Ctrl-C was pressed; the frames and the state so far are kept.
        """
        folder = self.work_folder
        with folder.opened():
            if folder.whole:
                return
            frames = StoryFrames(self.story, self.models, folder.state(), on_draft)
            with folder.keeping():
                for frame in frames:
                    if frame.number >= 0:
                        folder.put(frame.number, frame.image)
                    folder.keep(frames.state())
                    on_frame(frame)
            folder.write_videos(self.story.frames)


class RestyleRun:
    """Renders one restyled video: frames in a folder, then the videos.

    Each frame depends only on the source and the previous result, which is on disk. A stopped run
    therefore continues where it stopped, and its files are byte-identical to those of an
    uninterrupted run.
    """

    def __init__(self, source: SourceVideo, output: VideoOutput, models: Models) -> None:
        self.source, self.models = source, models
        config = self.config = source.config
        self.size = drawn_size(source, models)
        settings = metadata(replace(config.picture, size=self.size), models)
        settings["restyle"] = config.to_dict() | {"bytes": source.bytes}
        sound = source.path if source.is_video else None
        video = replace(output.video, rate=source.rate, sound=sound)
        self.work_folder = WorkFolder(replace(output, video=video), settings)

    def run(self, on_frame: Callable[[int, Array], None]) -> int:
        """Generate the missing frames and write the videos; return the number of frames.

        Ctrl-C keeps the frames so far and writes no video.

        Raises:
            UsageError: the folder holds frames with other settings, or another process uses it.
            VqclipError: the run failed or a file could not be written.
        """
        with self.work_folder.opened():
            if self.work_folder.whole:
                return sum(1 for _ in self.source.read(self.size))
            count = self._draw(on_frame)
            self.work_folder.write_videos(count)
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
