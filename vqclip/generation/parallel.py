"""Several runs side by side, step by step.

Work is a generator: it yields a run that is to make a step, is sent the frame, and returns its
result in the end. What it does between steps, and how it fails, is its own.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeVar

from vqclip.generation.frame import Frame
from vqclip.generation.loop import Run, step, step_alone
from vqclip.models.runtime import settle, shrinking_on_oom

_T = TypeVar("_T")
Work = Generator[Run, Frame, _T]

MOST = 8  # runs under way where what pays is measured
_ROUNDS = 4  # for each number, of which the fastest counts: the first warms up
_GAIN = 1.05  # for which more runs are seen together: fewer of them end sooner


def alone(work: Work[_T]) -> _T:
    """Return the result of one work, whose steps are made without others."""
    try:
        run = next(work)
        while True:
            try:
                frame = step_alone(run)
            except BaseException as error:  # Ctrl-C too: the work keeps what it has
                run = work.throw(error)
            else:
                run = work.send(frame)
    except StopIteration as end:
        result: _T = end.value
        return result


def side_by_side(works: Iterable[Work[_T]], width: int | None = 1) -> Generator[_T, None, None]:
    """Yield what each work returns, in the order in which they end.

    works: of runs that :func:`vqclip.generation.loop.step` takes together; each is begun when
        there is room for it.
    width: so many are under way at a time, fewer of them seen together if memory asks for it;
        None is as many as pay, see :class:`Width`.

    Ctrl-C is handed to all that are under way, so that they keep what they have, and so is the
    end of this generator. Any other exception that a work raises ends the others as they stand.
    """
    waiting = iter(works)
    lanes: dict[Work[_T], Run] = {}
    size = Width(width)
    try:
        while True:
            begun = {work: partial(next, work) for work in islice(waiting, size.room(lanes))}
            if not begun and not lanes:
                return
            yield from _resumed(lanes, begun)
            seen = size.step(list(lanes.values()))
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


class Width:
    """How many runs are under way at a time, and how many of them are seen together.

    A given number is kept, as far as the memory admits. Where there is none it is what pays, which
    only the machine at hand can tell: of :data:`MOST` runs under way 8, 4, 2 and 1 are seen
    together in turn, in steps that are to be made anyway, and timed.
    """

    def __init__(self, given: int | None = None) -> None:
        self.lanes = self.together = given or MOST
        sizes = [] if given else [MOST >> halved for halved in range(MOST.bit_length())]
        self.trials = [size for size in sizes for _ in range(_ROUNDS)]
        self.seconds: dict[int, list[float]] = defaultdict(list)  # of a run's step

    def room(self, lanes: Sized) -> int:
        """Return how many runs may begin beside those that are under way."""
        return max(0, self.lanes - len(lanes))

    def step(self, runs: Sequence[Run]) -> list[Frame | Exception]:
        """Step every run once; return of every run its frame, or why there is none."""
        if self.trials and runs:
            return self._try(runs, min(self.trials.pop(0), len(runs)))
        self.together, seen = _step(runs, self.together)
        return seen

    def _try(self, runs: Sequence[Run], count: int) -> list[Frame | Exception]:
        device = runs[0].models.device
        settle(device)
        began = time.monotonic()
        fitted, seen = _step(runs, count)
        settle(device)
        if not any(isinstance(frame, Exception) for frame in seen):
            self.seconds[fitted].append((time.monotonic() - began) / len(runs))
        if fitted < count:
            self.trials = [trial for trial in self.trials if trial <= fitted]
        if not self.trials:
            self.lanes = self.together = self._best_width()
        return seen

    def _best_width(self) -> int:
        seconds = {count: min(times) for count, times in self.seconds.items()}
        least = min(seconds.values(), default=0.0)
        return min((n for n, each in seconds.items() if each <= least * _GAIN), default=1)


def _step(runs: Sequence[Run], together: int) -> tuple[int, list[Frame | Exception]]:
    """Return how many runs were seen together, and of every run its frame, or why there is none.

    Where a lot of them fails for another reason than memory, each of it is stepped alone: the
    failure of one, or of the lot's size, is not that of the others.
    """
    seen: list[Frame | Exception] = []
    while rest := runs[len(seen) :]:
        try:
            together, frames = shrinking_on_oom(partial(_first_frames, rest), together)
            seen += frames
        except Exception as error:
            lot = rest[:together]
            seen += [error] if len(lot) == 1 else [_step([run], 1)[1][0] for run in lot]
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
    """Resume works; keep the runs of those that continue, and yield the results of the others."""
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
