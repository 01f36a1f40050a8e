"""The folder for the frames of a video in progress.

::

    castle-7.frames/            the folder for castle-7.mp4
        00000.png, 00001.png    the frames so far
        about.json              their settings, the videos to write, and the current stage
        state.safetensors       any other state on which the next frame depends
"""

import filecmp
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vqclip.config import VideoOutput
from vqclip.errors import UsageError
from vqclip.files.atomic import publish, sweep, writing
from vqclip.files.locking import locked
from vqclip.generation.state import State
from vqclip.media.images import load_image, save_image
from vqclip.media.writers import Array, frame_path, video_writer
from vqclip.runs.checkpoint import EVERY, load_state, save_state
from vqclip.video.about import (
    ABOUT_FILE,
    VideoStage,
    folder_of,
    is_unfinished,
    is_whole,
    published,
    read_about,
    write_about,
)

_STATE, _LOCK = "state.safetensors", ".lock"


class WorkFolder:
    """The folder for a video in progress: the requested frame folder or a temporary one.

    Args:
        output: the videos to make from the frames.
        settings: the metadata of every frame and video.
    """

    def __init__(self, output: VideoOutput, settings: Mapping[str, Any]) -> None:
        self.output, self.settings = output, dict(settings)
        self.path = folder_of(output)
        self.last: State | None = None
        self.saved = time.monotonic()
        self.whole = False

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Create and lock the folder, and clean it up once the video is complete.

        Raises:
            UsageError: the folder holds other frames, or another process uses it.
            VqclipError: the folder cannot be written.
        """
        lock, over = self.path / _LOCK, False
        if not is_unfinished(self.path) and frame_path(self.path, 0).exists():
            raise UsageError(f"{self.path} contains other frames: choose another folder")
        try:
            with writing():
                self.path.mkdir(parents=True, exist_ok=True)
                with locked(lock):
                    self._begin()
                    try:
                        yield
                    finally:
                        over = self.whole or not self._has_frames()
                        if over:
                            self._clean_up(lock)
        finally:
            if over:
                with suppress(OSError):  # the folder contains other files
                    lock.unlink(missing_ok=True)
                    self.path.rmdir()

    def _clean_up(self, lock: Path) -> None:
        """Remove the working files, about.json last.

        If the clean-up is interrupted, the next run finds about.json and finishes the clean-up.
        """
        self._remove(frames=self.output.frames is None)
        with suppress(OSError):  # Windows cannot delete a locked file
            lock.unlink()
        (self.path / ABOUT_FILE).unlink(missing_ok=True)

    def _begin(self) -> None:
        """Keep existing frames with the same settings; discard others if ``overwrite`` is set.

        Raises:
            UsageError: the folder contains frames with other settings, and ``overwrite`` is
                not set.
        """
        sweep(self.path)
        known = json.loads(json.dumps(self.settings))
        stage: VideoStage = "frames"
        if is_unfinished(self.path):
            if read_about(self.path)[0] == known:
                self.whole = is_whole(self.path, self.output)
                stage = "videos" if published(self.path) else "frames"
            elif not self.output.overwrite:
                raise UsageError(
                    f"{self.path} contains frames of another run: use the same settings to "
                    "continue it, choose another `output`, or add `overwrite` to discard them"
                )
            else:
                self._remove(frames=True)
        if not self.whole:
            self._record(stage)

    def _record(self, stage: VideoStage) -> None:
        write_about(self.path, self.settings, self.output, stage)

    def _has_frames(self) -> bool:
        return frame_path(self.path, 0).exists() or self.state_path.exists()

    def _remove(self, *, frames: bool) -> None:
        """Remove the state, which is useless without frames, and then the frames if requested."""
        self.state_path.unlink(missing_ok=True)
        for path in reversed(self.numbered()) if frames else ():
            path.unlink()

    def numbered(self) -> list[Path]:
        """Return the paths of all frames so far, in order."""
        paths = (frame_path(self.path, number) for number in count())
        return list(takewhile(Path.exists, paths))

    def frame(self, number: int) -> Array | None:
        """Return a frame, (h, w, 3) uint8, or None if it does not exist."""
        path = frame_path(self.path, number)
        return np.asarray(load_image(path)) if path.exists() else None

    def put(self, number: int, image: Array) -> None:
        """Write a frame under its number."""
        settings = {**self.settings, "frame": number}
        path = frame_path(self.path, number)
        save_image(Image.fromarray(image), path, settings, overwrite=True)

    @property
    def state_path(self) -> Path:
        """The path of the state file."""
        return self.path / _STATE

    def state(self) -> State | None:
        """Return the saved state, or None if there is none."""
        return load_state(self.state_path) if self.state_path.exists() else None

    def keep(self, state: State) -> None:
        """Keep the state after the last frame in memory, and write it to disk at intervals."""
        self.last = state
        if time.monotonic() - self.saved >= EVERY:
            self.save()

    def save(self) -> None:
        """Write the latest state to disk."""
        if self.last is not None:
            save_state(self.state_path, self.last)
            self.saved = time.monotonic()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Write the latest state when the block ends, even after an exception."""
        try:
            yield
        finally:
            self.save()

    def write_videos(self, frames: int) -> None:
        """Write the videos from the first ``frames`` frames.

        Each video is first completed in this folder, so Ctrl-C never publishes a partial one.

        Raises:
            FileExistsError: another file already has the name of a video.
        """
        self._record("videos")
        for path in self.output.videos:
            complete = self.path / f".film{path.suffix}"
            try:
                self._encode(complete, frames)
                _publish(complete, path, overwrite=self.output.overwrite)
            finally:
                complete.unlink(missing_ok=True)
        self._record("whole")
        self.whole = True

    def _encode(self, path: Path, frames: int) -> None:
        with video_writer(path, self.output.video, self.settings, overwrite=True) as write:
            for number in range(frames):
                write(np.asarray(load_image(frame_path(self.path, number))), number)


def _publish(complete: Path, path: Path, *, overwrite: bool) -> None:
    """Publish a video, unless an earlier run did so before it was killed."""
    try:
        publish(complete, path, overwrite=overwrite)
    except FileExistsError:
        if not (path.is_file() and filecmp.cmp(complete, path, shallow=False)):
            raise
