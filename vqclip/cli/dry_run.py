"""``--dry-run``: a forecast of a command's files, time and memory."""

from typing import TYPE_CHECKING

import typer

from vqclip.cli.terminal import Terminal
from vqclip.files.formatting import readable

if TYPE_CHECKING:
    from vqclip.diagnostics.forecast import Forecast

_SHOWN = 8  # number of files to list


def show_forecast(terminal: Terminal, forecast: "Forecast") -> None:
    """Print a forecast, or its values as a line of JSON."""
    sizes = {path: path.stat().st_size for path in forecast.reads if path.is_file()}
    if terminal.json_lines:
        terminal.json(
            {
                "reads": [{"path": str(p), "bytes": sizes.get(p)} for p in forecast.reads],
                "writes": [str(path) for path in forecast.writes],
                "seconds": round(forecast.seconds, 3),
                "peak_memory": forecast.peak,
            }
        )
        return
    reads = [
        f"{path}  {readable(sizes[path])}" if path in sizes else str(path)
        for path in forecast.reads
    ]
    for verb, lines in (("reads", reads), ("writes", list(map(str, forecast.writes)))):
        for line in lines[:_SHOWN]:
            typer.echo(f"{verb:7} {line}")
        if len(lines) > _SHOWN:
            typer.echo(f"{verb:7} and {len(lines) - _SHOWN} more")
    memory = f", {readable(forecast.peak)} of memory" if forecast.peak else ""
    typer.echo(f"takes   about {duration(forecast.seconds)}{memory}; nothing was written")


def duration(seconds: float) -> str:
    """Return a time as ``45 s``, ``12 min`` or ``3 h 20 min``.

    >>> duration(12000)
    '3 h 20 min'
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
