"""Multiple runs side by side, step by step.

A ``Work`` is a generator that yields a run whenever the run needs a step, is sent the resulting
frame, and finally returns its result. It does everything between steps and handles failures.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeVar

from vqclip.generation.frame import Frame
from vqclip.generation.loop import Run, step, step_alone
from vqclip.models.runtime import shrinking_on_oom

_T = TypeVar("_T")
Work = Generator[Run, Frame, _T]


def alone(work: Work[_T]) -> _T:
    """Run a single work to the end and return its result."""
    try:
        run = next(work)
        while True:
            try:
                frame = step_alone(run)
            except BaseException as error:  # including Ctrl-C: the work saves its progress
                run = work.throw(error)
            else:
                run = work.send(frame)
    except StopIteration as end:
        result: _T = end.value
        return result


def side_by_side(works: Iterable[Work[_T]], width: int = 1) -> Generator[_T, None, None]:
    """Yield the result of each work in order of completion.

    works: their runs must be compatible with :func:`vqclip.generation.loop.step`; each work is
        started as soon as there is room for another.
    width: number of works in progress at a time; if memory is short, fewer of them share a step.

    Ctrl-C, or closing this generator, interrupts all works in progress, so that they can save their
    progress. If a work raises any other exception, all the others are closed immediately.
    """
    waiting = iter(works)
    lanes: dict[Work[_T], Run] = {}
    together = width
    try:
        while True:
            begun = {work: partial(next, work) for work in islice(waiting, width - len(lanes))}
            if not begun and not lanes:
                return
            yield from _resumed(lanes, begun)
            together, seen = _step(list(lanes.values()), together)
            yield from _resumed(lanes, dict(zip(lanes, _answers(lanes, seen), strict=True)))
    except GeneratorExit:
        list(_interrupted(lanes))
        raise
    except KeyboardInterrupt:
        yield from list(_interrupted(lanes))
        raise
    finally:
        for work in lanes:
            work.close()


def _step(runs: Sequence[Run], together: int) -> tuple[int, list[Frame | Exception]]:
    """Return how many runs shared a step, and a frame or an exception for each run.

    If a batch of runs fails for a reason other than lack of memory, its runs are stepped one by
    one, so that neither a failing run nor the size of the batch makes the others fail.
    """
    seen: list[Frame | Exception] = []
    while rest := runs[len(seen) :]:
        try:
            together, frames = shrinking_on_oom(partial(_first_frames, rest), together)
            seen += frames
        except Exception as error:
            group = rest[:together]
            seen += [error] if len(group) == 1 else [_step([run], 1)[1][0] for run in group]
    return together, seen


def _first_frames(runs: Sequence[Run], count: int) -> list[Frame]:
    return step(runs[:count]) if count > 1 else [step_alone(runs[0])]


def _answers(
    works: Iterable[Work[_T]], seen: Iterable[Frame | Exception]
) -> Iterator[Callable[[], Run]]:
    for work, frame in zip(works, seen, strict=True):
        if isinstance(frame, Exception):
            yield partial(work.throw, frame)
        else:
            yield partial(work.send, frame)


def _resumed(
    lanes: dict[Work[_T], Run], calls: Mapping[Work[_T], Callable[[], Run]]
) -> Iterator[_T]:
    """Resume works; record the runs of unfinished works and yield the results of finished ones."""
    for work, resume in calls.items():
        lanes.pop(work, None)
        try:
            lanes[work] = resume()
        except StopIteration as end:
            yield end.value


def _interrupted(lanes: dict[Work[_T], Run]) -> Iterator[_T]:
    for work in list(lanes):
        with suppress(KeyboardInterrupt):
            yield from _resumed(lanes, {work: partial(work.throw, KeyboardInterrupt())})
