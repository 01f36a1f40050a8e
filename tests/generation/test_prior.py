"""The transformer as a prior, which pulls z towards likely codes."""

from dataclasses import replace

import pytest
import torch

import vqclip
from tests.conftest import mostly_slow
from vqclip.generation.drafts import prompt_condition, styles_for
from vqclip.generation.frame import watched
from vqclip.generation.prior import prior_of
from vqclip.generation.prompt_embeddings import embed_prompts
from vqclip.generation.step import begin
from vqclip.hub.loaders import Models, load_models

CONFIG = vqclip.GenerateConfig(
    prompts=vqclip.parse_prompts("a red apple"),
    seed=3, steps=3, num_cutouts=1, drafts=1, init="random", prior=8.0, precision="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(CONFIG)


def nll(models: Models, z: torch.Tensor) -> float:
    """Return the mean of -log p over the codes of z."""
    prior = prior_of(CONFIG, models, embed_prompts(models, CONFIG.prompts), z)
    assert prior
    indices = models.vqgan.nearest_indices(z)
    log_p = prior.log_probabilities(indices, prior.condition)
    return -float(log_p.gather(-1, indices.flatten(1)[..., None]).mean())


@pytest.mark.slow
def test_target_is_more_likely_than_the_codes(models: Models) -> None:
    run = watched(begin(CONFIG, models))
    assert run.prior
    target = run.prior.target(run.z.detach())
    assert target.shape == run.z.shape
    assert nll(models, target) < nll(models, run.z.detach()) - 0.2
    near = (target - run.z.detach()).square().mean()
    anything = models.vqgan.codebook.var(0).mean() * 2  # between unrelated entries
    assert near < anything / 4


@pytest.mark.slow
def test_run_ends_with_more_likely_codes(models: Models) -> None:
    def end(prior: float) -> torch.Tensor:
        *_, last = vqclip.generate(replace(CONFIG, prior=prior, steps=10), models)
        return last.z

    assert nll(models, end(1000.0)) < nll(models, end(0.0)) - 0.2


@pytest.mark.slow
def test_style_is_that_of_the_initial_codes(models: Models) -> None:
    """Of the drafts' styles, the one that makes the initial codes most likely is chosen."""
    assert models.transformer
    prompts = embed_prompts(models, CONFIG.prompts)
    start = watched(begin(CONFIG, models)).start
    prior = prior_of(replace(CONFIG, drafts=2), models, prompts, start)
    styles = styles_for(CONFIG, models, prompts, 2)
    assert prior
    assert styles is not None
    indices = models.vqgan.nearest_indices(start)
    totals = {}
    for style in styles.tolist():
        condition = prompt_condition(models, prompts, torch.tensor([style]))
        log_p = prior.log_probabilities(indices, condition)
        totals[float(log_p.gather(-1, indices.flatten(1)[..., None]).sum())] = condition
    assert len(totals) == 2
    torch.testing.assert_close(prior.condition, totals[max(totals)])


@pytest.mark.parametrize("other", mostly_slow(["size", "vqgan"], "size"))
def test_other_codes_have_no_prior(models: Models, other: str) -> None:
    """The loss is omitted if the transformer predicts codes other than the run's."""
    config = replace(CONFIG, size=(64, 64)) if other == "size" else CONFIG
    if other == "vqgan":
        assert models.transformer
        models = replace(models, vqgan=vqclip.load_vqgan())
    frame = next(iter(vqclip.generate(config, models)))
    assert set(frame.losses) == {"prompt"}


@pytest.mark.slow
def test_prior_loss_is_reported(models: Models) -> None:
    frame = next(iter(vqclip.generate(CONFIG, models)))
    assert set(frame.losses) == {"prompt", "prior"}
    assert float(frame.losses["prior"]) > 0
