"""Multiple runs side by side, step by step.

A ``Work`` is a job in the form of a generator. It yields a run whenever the run needs a step,
receives the resulting frame, and finally returns the job's result. The job also does everything
between steps and handles failures.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeVar

from vqclip.generation.frame import Frame
from vqclip.generation.step import Run, step, step_alone
from vqclip.models.runtime import settle, shrinking_on_oom

_T = TypeVar("_T")
Work = Generator[Run, Frame, _T]

MOST = 8  # runs in progress while measuring the fastest width
_ROUNDS = 4  # measurements per width; the fastest counts, because the first is a warm-up
_GAIN = 1.05  # speed-up that justifies a larger width, although each run then finishes later


def alone(work: Work[_T]) -> _T:
    """Run a single job to the end and return its result."""
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


def side_by_side(works: Iterable[Work[_T]], width: int | None = 1) -> Generator[_T, None, None]:
    """Yield the results of jobs in order of completion.

    works: jobs whose runs can share a step; see :func:`vqclip.generation.step.step`. Each job
        starts as soon as there is room for it.
    width: number of jobs in progress at a time; if memory is short, fewer jobs share a step. None
        chooses the fastest width; see :class:`Width`.

    Ctrl-C, or closing this generator, interrupts all jobs in progress, so that they can save their
    results. If a job raises any other exception, all the others are closed immediately.
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
            outcomes = size.step(list(lanes.values()))
            yield from _resumed(lanes, dict(zip(lanes, _answers(lanes, outcomes), strict=True)))
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
    """The number of runs in progress and the number of runs that share a step.

    A given ``width`` is used as far as memory allows. Without one, the fastest width is measured,
    because it depends on the machine. The first steps, which are needed anyway, are timed with
    :data:`MOST` runs in progress, in batches of 8, 4, 2 and 1 runs.
    """

    def __init__(self, width: int | None = None) -> None:
        self.lanes = self.together = width or MOST
        sizes = [] if width else [MOST >> halved for halved in range(MOST.bit_length())]
        self.trials = [size for size in sizes for _ in range(_ROUNDS)]
        self.seconds: dict[int, list[float]] = defaultdict(list)  # per run and step

    def room(self, lanes: Sized) -> int:
        """Return how many more runs may be started."""
        return max(0, self.lanes - len(lanes))

    def step(self, runs: Sequence[Run]) -> list[Frame | Exception]:
        """Step every run once; return a frame or an exception for each."""
        if self.trials and runs:
            return self._try(runs, min(self.trials.pop(0), len(runs)))
        self.together, outcomes = _step(runs, self.together)
        return outcomes

    def _try(self, runs: Sequence[Run], count: int) -> list[Frame | Exception]:
        device = runs[0].models.device
        settle(device)
        began = time.monotonic()
        fitted, outcomes = _step(runs, count)
        settle(device)
        if not any(isinstance(frame, Exception) for frame in outcomes):
            self.seconds[fitted].append((time.monotonic() - began) / len(runs))
        if fitted < count:
            self.trials = [trial for trial in self.trials if trial <= fitted]
        if not self.trials:
            self.lanes = self.together = self._best_width()
        return outcomes

    def _best_width(self) -> int:
        seconds = {count: min(times) for count, times in self.seconds.items()}
        least = min(seconds.values(), default=0.0)
        return min((n for n, each in seconds.items() if each <= least * _GAIN), default=1)


def _step(runs: Sequence[Run], together: int) -> tuple[int, list[Frame | Exception]]:
    """Step every run; return how many shared a step, and a frame or an exception for each run.

    If memory runs out, fewer runs share a step. If a batch of runs fails for another reason, its
    runs are stepped one by one, so a failing run does not make the others fail.
    """
    outcomes: list[Frame | Exception] = []
    while rest := runs[len(outcomes) :]:
        try:
            together, frames = shrinking_on_oom(partial(_first_frames, rest), together)
            outcomes += frames
        except Exception as error:
            group = rest[:together]
            outcomes += [error] if len(group) == 1 else [_step([run], 1)[1][0] for run in group]
    return together, outcomes


def _first_frames(runs: Sequence[Run], count: int) -> list[Frame]:
    return step(runs[:count]) if count > 1 else [step_alone(runs[0])]


def _answers(
    works: Iterable[Work[_T]], outcomes: Iterable[Frame | Exception]
) -> Iterator[Callable[[], Run]]:
    for work, frame in zip(works, outcomes, strict=True):
        if isinstance(frame, Exception):
            yield partial(work.throw, frame)
        else:
            yield partial(work.send, frame)


def _resumed(
    lanes: dict[Work[_T], Run], calls: Mapping[Work[_T], Callable[[], Run]]
) -> Iterator[_T]:
    """Resume jobs; record the runs of unfinished jobs and yield the results of finished ones."""
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
