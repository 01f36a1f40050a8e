"""Work on several pictures, step by step side by side, or on one: the same loop.

Work is a generator: it yields a run that is to make a step, is sent the frame, and returns its
result in the end. What it does between steps, and how it fails, is its own.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeVar

from vqclip.engines import shrinking_on_oom
from vqclip.generation import Frame, Run, step_together

T = TypeVar("T")
Work = Generator[Run, Frame, T]


def side_by_side(works: Iterable[Work[T]], width: int = 1) -> Generator[T, None, None]:
    """Yield what each work returns, in the order in which they end.

    works: of runs that :func:`step_together` takes; each is begun when there is room for it.
    width: so many are under way at a time, fewer of them seen together if memory asks for it.

    Ctrl-C is handed to all that are under way, so that they keep what they have, and so is the
    end of this generator. Any other exception that a work raises ends the others as they stand.
    """
    waiting = iter(works)
    lanes: dict[Work[T], Run] = {}
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
    """Return how many runs were seen together, and of every run its frame, or why there is none."""
    seen: list[Frame | Exception] = []
    while rest := runs[len(seen) :]:
        try:
            together, frames = shrinking_on_oom(partial(_first, rest), together)
            seen += frames
        except Exception as error:
            seen += [error] * len(rest[:together])
    return together, seen


def _first(runs: Sequence[Run], count: int) -> list[Frame]:
    return step_together(runs[:count])


def _answers(
    works: Iterable[Work[T]], seen: Iterable[Frame | Exception]
) -> Iterator[Callable[[], Run]]:
    for work, frame in zip(works, seen, strict=True):
        if isinstance(frame, Exception):
            yield partial(work.throw, frame)
        else:
            yield partial(work.send, frame)


def _resumed(lanes: dict[Work[T], Run], calls: Mapping[Work[T], Callable[[], Run]]) -> Iterator[T]:
    """Resume works; keep the runs of those that go on, and yield the results of the others."""
    for work, resume in calls.items():
        lanes.pop(work, None)
        try:
            lanes[work] = resume()
        except StopIteration as end:
            yield end.value


def _interrupted(lanes: dict[Work[T], Run]) -> Iterator[T]:
    for work in list(lanes):
        with suppress(KeyboardInterrupt):
            yield from _resumed(lanes, {work: partial(work.throw, KeyboardInterrupt())})
