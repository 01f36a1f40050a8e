"""Findings of ``vqclip doctor``, and checks of the machine."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import torch

from vqclip.errors import UsageError, one_line
from vqclip.files.environment import offline
from vqclip.models import portable
from vqclip.models.frozen import autocast
from vqclip.models.runtime import has_fast_bfloat16, resolve_device, resolve_precision

FindingState = Literal["ok", "note", "problem"]

_LEAST_MEMORY, _LEAST_DISK = 2e9, 2e9  # bytes, for the built-in models and for a published model
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_FIXES = {
    "here": "choose another folder as `output`",
    "temporary": "set TMPDIR to a writable folder",
    "models": "set VQCLIP_HOME to a writable folder",
    "hub": "set HF_HOME to a writable folder",
}


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: name of the checked item.
        state: the severity. A note is informative; a problem needs a fix.
        about: the result, in one line.
        fix: a suggested fix.
    """

    name: str
    state: FindingState
    about: str
    fix: str = ""


def probe(name: str, about: str, fix: str, trial: Callable[[], object]) -> Finding:
    """Run ``trial``; return a finding with ``about`` or, on failure, with the error and ``fix``."""
    try:
        trial()
    except Exception as error:
        return Finding(name, "problem", one_line(error), fix)
    return Finding(name, "ok", about)


def device() -> Iterator[Finding]:
    """Check the default device, its free memory and, for a CPU, the number of threads."""
    chosen = resolve_device()
    free, total = _memory(chosen)
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else chosen.type
    about = f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free" if total else name
    if total and free < _LEAST_MEMORY:
        fix = "close other programs, or use a smaller `size` and `cut_chunk=4`"
        yield Finding("device", "problem", about, fix)
    else:
        yield Finding("device", "ok", about)
    if chosen.type == "cpu":
        yield _threads()


def precisions() -> Iterator[Finding]:
    """Check every available precision with one matrix multiplication."""
    chosen = resolve_device()
    own = resolve_precision("auto", chosen)
    for name in ("float32", "bfloat16", *(("float16",) if chosen.type != "cpu" else ())):
        dtype = resolve_precision(name, chosen)

        def trial(dtype: torch.dtype = dtype) -> None:
            with autocast(chosen, dtype), torch.no_grad():
                torch.ones(8, 8, device=chosen) @ torch.ones(8, 8, device=chosen)

        slow = dtype == torch.bfloat16 and not has_fast_bfloat16(chosen)
        usual = "works; auto uses it here"
        about = usual if dtype == own else "works, but very slowly" if slow else "works"
        yield probe(name, about, f"do not use `precision={name}`", trial)
    if portable.supported():
        yield Finding(
            "portable", "ok", "with `device=cpu`, byte-identical on every x86-64 processor"
        )
    else:
        about = "does not work: it needs an x86-64 processor with AVX2"
        yield Finding("portable", "note", about, "do not use `precision=portable`")


def _threads() -> Finding:
    """Compare torch's number of threads with the processors available to this process."""
    threads, usable = torch.get_num_threads(), len(_affinity())
    about = f"{threads} on {usable} processors"
    if threads > usable:
        fix = (
            f"set OMP_NUM_THREADS={usable}: if there are more threads than processors, the "
            "threads wait for each other"
        )
        return Finding("threads", "problem", about, fix)
    if threads == 1 < usable:
        return Finding("threads", "note", about, "unset OMP_NUM_THREADS to use all processors")
    return Finding("threads", "ok", about)


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _memory(device: torch.device) -> tuple[float, float]:
    """Return the free and total memory in bytes, or zeros if the system does not report them."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return sizes["MemAvailable"], sizes["MemTotal"]
    except (OSError, LookupError, ValueError):
        return 0, 0


def folders(caches: Mapping[str, Callable[[], Path]]) -> Iterator[Finding]:
    """Check that the current folder, the system's temporary folder and ``caches`` are writable."""
    system = {"here": Path.cwd, "temporary": lambda: Path(tempfile.gettempdir())}
    for name, find in {**system, **caches}.items():
        try:
            folder = find()
        except (OSError, UsageError) as error:  # no current folder, no home
            yield Finding(name, "problem", one_line(error), _FIXES[name])
            continue
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(nearest).free

        def trial(place: Path = nearest) -> None:
            with tempfile.TemporaryFile(dir=place):
                pass

        finding = probe(name, f"{folder}, {free / 1e9:.1f} GB free", _FIXES[name], trial)
        if finding.state == "ok" and free < _LEAST_DISK:
            finding = Finding(
                name, "note", finding.about, "free some space: a model takes 1 GB or more"
            )
        yield finding


def network(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about the network settings, without making a connection."""
    if variable := offline():
        fix = f"unset {variable} to download models"
        yield Finding("network", "note", f"disabled by {variable}", fix)
    proxies = {name: environment.get(name) or environment.get(name.lower()) for name in _PROXIES}
    configured = {name: value for name, value in proxies.items() if value}
    for name, value in configured.items():
        host = _host(value)
        fix = f"set {name} to http://HOST:PORT, or unset it"
        if host:
            yield Finding(name.lower(), "ok", host)
        else:
            yield Finding(name.lower(), "problem", "it is not an address", fix)
    if not variable and not configured:
        yield Finding("network", "ok", "direct; no proxy is set")


def _host(proxy: str) -> str:
    """Return a proxy's host and port, without user name and password, or "" if it has no host."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.hostname}{port}" if parts.hostname else ""
