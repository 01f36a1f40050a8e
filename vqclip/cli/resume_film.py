"""Resuming a story or a restyled video."""

from pathlib import Path

from vqclip.cli.commands.restyle import restyle
from vqclip.cli.commands.story import make_story
from vqclip.cli.terminal import Terminal
from vqclip.config import StoryConfig


def resume_film(folder: Path, terminal: Terminal, *, dry_run: bool) -> None:
    """Generate the missing frames of the video in a folder, then the video.

    Raises:
        UsageError: the video file already exists, or its source is missing.
        CheckpointError: the folder is damaged.
    """
    from vqclip.runs.outputs import check_films
    from vqclip.runs.replay import recorded_film
    from vqclip.video.about import published, read_about

    settings, output = read_about(folder)
    # The run compares published videos with its own.
    check_films(output.films, overwrite=output.overwrite or bool(published(folder)))
    film = recorded_film(settings, folder)
    if isinstance(film, StoryConfig):
        make_story(film, output, terminal, dry_run=dry_run)
    else:
        restyle(film, output, terminal, dry_run=dry_run)
