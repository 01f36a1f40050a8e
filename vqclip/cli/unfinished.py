"""``vqclip resume castle.frames``: a story, or a clip in another style, goes on."""

from functools import partial
from pathlib import Path

from vqclip.cli.restyle import restyle
from vqclip.cli.session import Terminal
from vqclip.cli.story import tell_story
from vqclip.errors import CheckpointError


def resume_film(folder: Path, terminal: Terminal, *, dry_run: bool) -> None:
    """Draw the frames that are missing of the film in a folder, and the film.

    Raises:
        UsageError: there is a film of its name, or its source is gone.
        CheckpointError: the folder is damaged.
    """
    from vqclip.config import GenerateConfig, RestyleConfig, StoryConfig
    from vqclip.outputs import check_films
    from vqclip.unfinished import read_about

    settings, output = read_about(folder)
    check_films(output.films, overwrite=output.overwrite)
    try:
        picture = GenerateConfig.from_dict(settings["settings"])
        if "story" in settings:
            story = StoryConfig.from_dict(settings["story"], picture)
            go_on = partial(tell_story, story)
        else:
            go_on = partial(restyle, RestyleConfig.from_dict(settings["restyle"], picture))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} holds no settings of a film: {error!r:.100}") from error
    go_on(output, terminal, dry_run=dry_run)
