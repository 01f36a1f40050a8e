"""The image memory: which images are recalled, and how their codes are mixed with predictions."""

import itertools
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests import tiny
from vqclip.config.sampling import Sampling
from vqclip.errors import CheckpointError
from vqclip.models.code_sampling import make_generators, walk
from vqclip.models.condition_stages import ClipEmbedding
from vqclip.models.memory import Memory, Recalling, Subjects

DIM = 8


def memory(side: int = 2) -> Memory:
    """Return a memory of images named 0, 1, 2, with styles 0, 0, 1; image 0 has the keyword 3."""
    made = Memory(3, 4, 2, DIM, side)
    axes = torch.eye(DIM)
    made.texts.copy_(axes[:4])
    made.embeddings.copy_(axes[4:7])
    made.words.copy_(torch.tensor([[0, 3], [1, -1], [2, -1]]))
    made.styles.copy_(torch.tensor([0, 0, 1]))
    made.codes.copy_(torch.arange(3)[:, None, None].expand(3, side, side))
    return made


def toward(**shares: float) -> Tensor:
    """Return an embedding (1, d) that is similar to texts (t0, …) and images (i0, …)."""
    places = {f"t{k}": k for k in range(4)} | {f"i{k}": 4 + k for k in range(3)}
    x = torch.zeros(1, DIM)
    for name, share in shares.items():
        x[0, places[name]] = share
    return x


def test_texts_and_images_are_recalled_by_similarity() -> None:
    made = memory()
    by_name = made.recall(toward(t1=1.0, i1=1.0))[0]
    assert by_name.argmax() == 1
    assert by_name.sum() == pytest.approx(1)
    tripled = made.recall(3 * toward(t1=1.0, i1=1.0))[0]
    assert torch.allclose(tripled, by_name, rtol=1e-4), "the length of an embedding counts"
    vague = made.recall(toward(i2=1.0))[0]
    assert vague.argmax() == 3, "an unlike prompt should recall no image"
    by_keyword = made.recall(toward(t3=1.0, i0=1.0))[0]
    assert by_keyword[:3].argmax() == 0
    assert by_keyword[0] < made.recall(toward(t0=1.0, i0=1.0))[0, 0]


def subjects(*phrases: Tensor, attributes: Tensor | None = None) -> Subjects:
    """Return subjects with phrases, and perhaps attributes, each (1, d)."""
    empty = torch.zeros(0, DIM)
    return Subjects(torch.cat((*phrases, empty)), empty if attributes is None else attributes)


def test_images_that_a_phrase_names_are_recalled() -> None:
    """Of two images equally like the whole prompt, the one that a phrase names is recalled."""
    made = memory()
    x = toward(t0=1.0, t1=1.0, i0=0.8, i1=0.8)
    first, second = made.recall(x)[0, :2]
    assert first == pytest.approx(float(second))
    named = made.recall(x, subjects=subjects(toward(t1=1.0)))[0]
    assert named[1] > 1000 * named[0]
    by_keyword = made.recall(x, subjects=subjects(toward(t3=1.0)))[0]
    assert by_keyword[0] > 1000 * by_keyword[1]
    by_name = made.recall(x, subjects=subjects(toward(t0=1.0)))[0]
    assert by_name[0] > by_keyword[0]
    unnamed = made.recall(x, subjects=subjects(toward(t1=1.0, t2=1.0)))[0]
    assert unnamed.argmax() == 3, "a phrase that is merely similar counts as a name"


def test_a_phrase_can_outweigh_the_whole_prompt() -> None:
    """The whole prompt is most like image 0, but its subject is the name of image 1."""
    made = memory()
    x = toward(t0=0.93, i0=0.28, i1=0.25)
    assert made.recall(x)[0].argmax() == 0
    named, other = toward(t1=1.0), toward(i2=1.0)
    first = made.recall(x, subjects=subjects(named, other))[0, 1]
    last = made.recall(x, subjects=subjects(other, named))[0, 1]
    assert first > last > 0.5, "the first phrase should count most"
    assert made.recall(x, subjects=subjects()).equal(made.recall(x))


def test_other_styles_are_chosen_only_if_the_usual_ones_recall_nothing() -> None:
    made = memory()
    own, other = toward(t0=1.0, i0=0.8), toward(t2=1.0, i2=0.8)
    assert made.styles_beyond([0], own) == []
    assert made.styles_beyond([0], other) == [1]
    assert made.styles_beyond([1], own) == [0]
    assert made.styles_beyond([0, 1], other) == []
    assert made.styles_beyond([1], toward(i0=1.0)) == [], "a vague relation recalls no image"
    assert made.styles_beyond([0, 1], own) == made.styles_beyond([], toward(i0=1.0)) == []
    made.styles.fill_(-1)
    assert made.styles_beyond([0], other) == []
    both = toward(t1=1.0, t2=1.0, i1=0.8, i2=0.8)
    made.styles.copy_(torch.tensor([0, 1, 2]))
    named = subjects(toward(t1=1.0), toward(t2=1.0))
    assert made.styles_beyond([0], both, named) == [1, 2]


def test_attributes_decide_between_images_with_the_same_name() -> None:
    made = memory()
    made.words.copy_(torch.tensor([[0, 3], [0, -1], [2, -1]]))
    x = toward(t0=1.0, i0=0.5, i1=0.5)
    plain = made.recall(x, subjects=subjects(toward(t0=1.0)))[0]
    assert plain[0] == pytest.approx(float(plain[1]))
    described = made.recall(x, subjects=subjects(toward(t0=1.0), attributes=toward(t3=1.0)))[0]
    assert described[0] > 10 * described[1]


def test_only_images_in_the_style_are_recalled() -> None:
    made = memory()
    x = toward(t0=1.0, i0=0.8).expand(3, -1)
    any_style, own, other = made.recall(x, torch.tensor([-1, 0, 1]))
    assert any_style[0] > 0.2
    assert any_style[:3].argmax() == 0
    assert own[2] == 0
    assert other[:2].sum() == 0
    assert torch.equal(made.recall(x)[0], any_style)


@dataclass
class Fixed:
    """Predicts p for three codes from the sum of the preceding codes."""

    size: tuple[int, int] = (2, 2)
    window: tuple[int, int] = (2, 2)
    order: Tensor = field(default_factory=lambda: torch.arange(4))

    def __call__(self, indices: Tensor, row: int, column: int) -> Tensor:
        read = indices.flatten(1)[:, : row * self.size[1] + column].clamp(min=0)
        total = read.sum(1, keepdim=True) + 1.0
        return torch.cat((total, 0.5 * total.square(), 2.0 + 0 * total), 1)


def test_sequences_have_the_probability_of_the_mixture() -> None:
    """Multiplied over the cells, the predictions are Σ_j p(j) Π_i [r 1(s_i = m_ji) + (1 − r) p]."""
    codes = torch.tensor([[[0, 1], [2, 1]], [[0, 2], [2, 2]]])
    weights, share = torch.tensor([[0.5, 0.2, 0.3]]), 0.4
    total = 0.0
    for sequence in itertools.product(range(3), repeat=4):
        s = torch.tensor(sequence).view(1, 2, 2)
        grid = torch.full((1, 2, 2), -1)
        predictor = Recalling(Fixed(), codes, weights, share, grid)
        log_p, own = 0.0, []
        for row, column in itertools.product(range(2), repeat=2):
            logits = predictor(grid, row, column)
            log_p += float(logits.log_softmax(-1)[0, s[0, row, column]])
            own.append(Fixed()(grid, row, column).softmax(-1)[0, s[0, row, column]])
            grid[0, row, column] = s[0, row, column]
        p = torch.stack(own)
        copied = share * (codes == s).flatten(1) + (1 - share) * p
        expected = (weights[0, :2] * copied.prod(1)).sum() + weights[0, 2] * p.prod()
        assert log_p == pytest.approx(float(expected.log()), abs=1e-5)
        total += float(expected)
    assert total == pytest.approx(1, abs=1e-5)


def drawn(weights: Tensor, share: float, known: Tensor, codes: Tensor) -> Tensor:
    """Return grids drawn from copies of the codes and from :class:`Fixed`."""
    size = (known.shape[1], known.shape[2])
    predictor = Recalling(
        Fixed(size, size, torch.arange(size[0] * size[1])), codes, weights, share, known
    )
    *_, last = walk(predictor, known, Sampling(), make_generators(0, len(known)))
    return last.indices


def test_share_of_1_copies_all_codes() -> None:
    codes = torch.tensor([[[0, 1], [2, 1]], [[2, 2], [0, 2]]])
    result = drawn(
        torch.tensor([[0.5, 0.5, 0.0]]).expand(32, -1), 1.0, -torch.ones(32, 2, 2).long(), codes
    )
    for grid in result:
        assert any(torch.equal(grid, image) for image in codes)
    assert {int(grid[0, 0]) for grid in result} == {0, 2}


def test_given_codes_identify_the_image() -> None:
    codes = torch.tensor([[[0, 1], [2, 1]], [[2, 2], [0, 2]]])
    known = torch.tensor([[[2, -1], [-1, -1]]]).expand(8, -1, -1).clone()
    result = drawn(torch.tensor([[0.9, 0.1, 0.0]]).expand(8, -1), 0.99, known, codes)
    assert (result == codes[1]).float().mean() > 0.95


def test_images_are_centred_in_larger_grids() -> None:
    codes = torch.tensor([[[0, 1], [2, 1]]])
    result = drawn(torch.tensor([[1.0, 0.0]]), 1.0, -torch.ones(1, 4, 6).long(), codes)
    assert torch.equal(result[:, 1:3, 2:4], codes)
    narrow = drawn(torch.tensor([[1.0, 0.0]]), 1.0, -torch.ones(1, 1, 6).long(), codes)
    assert narrow[0, 0, 2:4].tolist() in codes[0].tolist()


def test_transformer_samples_recalled_images() -> None:
    made = memory(4)
    model = tiny.transformer(ClipEmbedding(DIM, 2, 16, memory=made), block_size=18)
    x = toward(t1=1.0, i1=1.0).expand(3, -1)
    condition, recalled = model.encode_condition(x), made.recall(x)

    def sampled(share: float) -> Tensor:
        *_, last = model.sample_steps(
            condition, (4, 4), None, Sampling(recall=share), seed=0, recalled=recalled
        )
        return last.indices

    assert (sampled(1.0) == 1).all()
    *_, plain = model.sample_steps(condition, (4, 4), None, Sampling(), seed=0)
    assert torch.equal(sampled(0.0), plain.indices)
    assert (sampled(0.8) == 1).float().mean() > (plain.indices == 1).float().mean() + 0.3
    assert model.memory is made
    assert tiny.transformer().memory is None


def test_damaged_memories_are_refused() -> None:
    made = memory()
    made.check(3)
    with pytest.raises(CheckpointError, match="codes are out of range"):
        made.check(2)
    made.words[0, 1] = 4
    with pytest.raises(CheckpointError, match="words are out of range"):
        made.check(3)


def test_padding_words_never_count() -> None:
    """A missing keyword must not be mistaken for the first text."""
    made = memory()
    score = made.recall(F.normalize(toward(t0=1.0, i1=0.2, i0=0.2), dim=-1))[0]
    assert score[0] > 100 * score[1]
