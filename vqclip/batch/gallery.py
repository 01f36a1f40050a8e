"""The gallery of a batch: one HTML file that works without a server.

The page embeds its data as JSON and inserts it only as text, so prompts cannot inject markup.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vqclip.batch.jobs import Job
from vqclip.config.argv import command
from vqclip.files.atomic import replacing
from vqclip.files.formatting import as_json

_PAGE = Path(__file__).with_name("gallery.html")
_MARK = "__JOBS__"


def write_gallery(folder: Path, jobs: Sequence[Job]) -> Path:
    """Write ``index.html`` atomically for a run folder.

    Raises:
        OSError: the file cannot be written.
    """
    entries = [_entry(job) for job in jobs if job.files or job.error]
    values = {"title": folder.resolve().name, "jobs": entries}
    page = _PAGE.read_text(encoding="utf-8").replace(_MARK, as_script(values))
    path = folder / "index.html"
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def as_script(values: Any) -> str:
    r"""Return JSON that is safe inside an HTML script element, with ``<`` as ``\u003c``."""
    text = as_json(values)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _entry(job: Job) -> Mapping[str, Any]:
    videos = [quote(f) for f in job.files if f.endswith((".mp4", ".gif", ".webp"))]
    return {
        "prompt": job.prompt,
        "seed": job.config.seed,
        "state": job.state,
        "score": job.score,
        "seconds": job.seconds,
        "error": job.error,
        "file": quote(job.picture) if job.files else None,
        "films": videos,
        "again": job.picture if job.files else None,  # the page adds its own folder
        "command": command(job.config),
    }
