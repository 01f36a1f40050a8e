"""Parallel runs give the same images as separate ones, up to rounding."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import vqclip
from tests import tiny
from tests.runs.test_checkpoint import BASE
from vqclip import GenerateConfig
from vqclip.errors import VqclipError
from vqclip.generation import parallel as together
from vqclip.generation.frame import Frame
from vqclip.generation.parallel import Width, Work, side_by_side
from vqclip.generation.state import state_of
from vqclip.generation.step import Run, rewinding, step
from vqclip.hub.loaders import Models, load_models


@cache
def loaded(tiny_clip: bool) -> Models:
    """Return the built-in CLIP model, or one of one layer, in float32, with a VQGAN of 24 codes."""
    torch.manual_seed(0)
    models = load_models(replace(BASE, precision="float32"))
    return replace(tiny.with_tiny_clip(models) if tiny_clip else models, vqgan=tiny.vqgan())


@pytest.fixture
def models(request: pytest.FixtureRequest) -> Models:
    return loaded(tiny_clip=request.node.get_closest_marker("slow") is None)


# Plain descent, because Adam's first steps are signs, which rounding can flip near 0.
# Crops of all sizes, because with large crops alone, rounding flips a code within four steps.
PLAIN = replace(BASE, optimizer="sgd", learning_rate=20.0, cut_method="crops")
CONFIGS = [
    PLAIN,
    replace(PLAIN, seed=2, prompts=vqclip.parse_prompts("a blue car:2 | a dog:-1")),
    replace(PLAIN, seed=3, steps=2, ema=0.5),
    replace(PLAIN, seed=4, init_weight=0.5, losses=(("symmetry", 1.0),), schedule="cosine"),
    replace(PLAIN, seed=5),
]


def drawing(config: GenerateConfig, models: Models) -> Work[list[Frame]]:
    run = tiny.run(config, models)
    frames = []
    while run.steps_done < config.steps:
        frames.append((yield run))
    return [*frames, run.result()]


def check_as_alone(drawn: Sequence[list[Frame]], models: Models) -> None:
    for config, frames in zip(CONFIGS, drawn, strict=True):
        alone = list(vqclip.generate(config, models))
        assert [f.step for f in frames] == [f.step for f in alone]
        for one, other in zip(frames, alone, strict=True):
            torch.testing.assert_close(one.z, other.z, atol=5e-3, rtol=0)
            torch.testing.assert_close(dict(one.losses), dict(other.losses), atol=1e-3, rtol=1e-2)
        assert (alone[-1].z - alone[0].z).abs().max() > 0.1
        torch.testing.assert_close(frames[-1].image, alone[-1].image, atol=0.02, rtol=0)


def in_order(works: Sequence[Work[Any]], width: int | None) -> list[Any]:
    """Return the results in the order of ``works``."""
    results: dict[int, Any] = {}

    def numbered(number: int, work: Work[Any]) -> Work[None]:
        results[number] = yield from work

    list(side_by_side([numbered(n, work) for n, work in enumerate(works)], width))
    return [results[number] for number in range(len(works))]


@pytest.mark.parametrize(
    "width", [None, *(pytest.param(width, marks=pytest.mark.slow) for width in (2, 5))]
)
def test_images_match_those_of_single_runs(models: Models, width: int | None) -> None:
    check_as_alone(in_order([drawing(config, models) for config in CONFIGS], width), models)


def test_scarce_memory_reduces_the_width(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = together.step, []

    def scarce(runs: Sequence[Run]) -> list[Frame]:
        sizes.append(len(runs))
        if len(runs) > 2:
            raise torch.OutOfMemoryError
        return real(runs)

    monkeypatch.setattr(together, "step", scarce)
    check_as_alone(in_order([drawing(config, models) for config in CONFIGS], 5), models)
    assert sizes[:4] == [5, 2, 2, 1]
    assert max(sizes[1:]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("width", [5, None])
def test_batch_that_fails_for_its_size_runs_one_by_one(
    models: Models, monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    real, sizes = together.step, []

    def particular(runs: Sequence[Run]) -> list[Frame]:
        sizes.append(len(runs))
        with rewinding(runs):
            if len(runs) > 2:
                torch.rand(1, generator=runs[0].generator)
                raise RuntimeError("input tensor must fit into 32-bit index math")
            return real(runs)

    monkeypatch.setattr(together, "step", particular)
    check_as_alone(in_order([drawing(config, models) for config in CONFIGS], width), models)
    assert max(sizes) == 5


class Machine:
    """A machine that takes ``seconds(n)`` to step n runs together, with memory for ``most``."""

    def __init__(self, seconds: Callable[[int], float], most: int = 99) -> None:
        self.seconds, self.most, self.now, self.lots = seconds, most, 0.0, list[int]()

    def step(self, runs: Sequence[Any]) -> list[Any]:
        self.lots.append(len(runs))
        if len(runs) > self.most:
            raise torch.OutOfMemoryError
        warming = 9 if self.lots.count(len(runs)) == 1 else 0
        self.now += self.seconds(len(runs)) + warming
        return [object() for _ in runs]


@pytest.mark.parametrize(
    ("machine", "runs", "expected"),
    [
        (Machine(lambda lot: 1.0), 8, 8),
        (Machine(lambda lot: 1.0), 5, 5),
        (Machine(lambda lot: float(lot)), 8, 1),
        (Machine(lambda lot: 0.04 + lot), 8, 1),  # a small gain is not worth the wait
        (Machine(lambda lot: max(2.0, lot)), 8, 2),
        (Machine(lambda lot: max(3.0, lot**2)), 8, 2),
        (Machine(lambda lot: 1.0, most=4), 8, 4),
        (Machine(lambda lot: 1.0, most=1), 8, 1),
    ],
)
def test_fastest_width_is_measured_during_the_run(
    machine: Machine, runs: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "step", machine.step)
    monkeypatch.setattr(together, "step_alone", lambda run: machine.step([run])[0])
    monkeypatch.setattr(together.time, "monotonic", lambda: machine.now)
    run: Any = SimpleNamespace(models=SimpleNamespace(device=torch.device("cpu")))
    width = Width()
    for _ in range(20):
        assert len(width.step([run] * runs)) == runs
    assert width.lanes == width.together == expected
    machine.lots.clear()
    width.step([run] * runs)
    assert machine.lots[0] == expected
    assert width.room([run] * runs) == 0
    assert sum(lot > machine.most for lot in machine.lots) == 0


def test_failing_steps_do_not_count_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(lambda lot: 1.0)

    def step(runs: Sequence[Any]) -> list[Any]:
        if bad in runs:
            raise RuntimeError("broke")
        return machine.step(runs)

    monkeypatch.setattr(together, "step", step)
    monkeypatch.setattr(together, "step_alone", lambda run: step([run])[0])
    monkeypatch.setattr(together.time, "monotonic", lambda: machine.now)
    bad: Any = SimpleNamespace(models=SimpleNamespace(device=torch.device("cpu")))
    run = SimpleNamespace(models=bad.models, steps_done=0)
    width = Width()
    for _ in range(4):
        seen = width.step([run, run, bad])
        assert [isinstance(frame, RuntimeError) for frame in seen] == [False, False, True]
    assert not width.seconds
    while width.trials:
        width.step([run] * 3)
    assert width.together == 3


def test_runs_are_unchanged_when_memory_fails(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [tiny.run(config, models) for config in CONFIGS[:2]]
    states = [state_of(run) for run in runs]

    def fails(cutouts: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(models.perceptors[0], "embed_image", fails)
        with pytest.raises(torch.OutOfMemoryError):
            step(runs)
        with pytest.raises(VqclipError, match="out of memory"):
            list(side_by_side([drawing(BASE, models)], 4))
    for run, before in zip(runs, states, strict=True):
        after = state_of(run)
        assert after.step == before.step
        assert all(torch.equal(after.tensors[n], t) for n, t in before.tensors.items())


def test_handled_exception_ends_only_its_own_work(models: Models) -> None:
    def fragile(config: GenerateConfig) -> Work[str]:
        try:
            frames = yield from drawing(config, models)
            if config.seed == 2:
                raise RuntimeError("broke")
        except RuntimeError as error:
            return str(error)
        return f"{len(frames)} frames"

    works = [fragile(config) for config in CONFIGS[:3]]
    assert in_order(works, 3) == ["5 frames", "broke", "3 frames"]


def test_ctrl_c_reaches_all_works_in_progress(models: Models) -> None:
    told = []

    def patient(number: int) -> Work[None]:
        run = tiny.run(BASE, models)
        try:
            while True:
                yield run
                if number == 1:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            told.append(number)
            raise

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side([patient(n) for n in range(4)], 3))
    assert sorted(told) == [0, 1, 2]  # the fourth never started


def test_closing_the_generator_reaches_all_works(models: Models) -> None:
    told = []

    def work(number: int, steps: int) -> Work[int]:
        run = tiny.run(BASE, models)
        try:
            for _ in range(steps):
                yield run
        except KeyboardInterrupt:
            told.append(number)
            raise
        return number

    ended = side_by_side([work(0, 1), work(1, 3)], 2)
    assert next(ended) == 0
    ended.close()
    assert told == [1]
