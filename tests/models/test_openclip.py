"""The parts of open_clip that training needs."""

from vqclip.models.openclip import architecture, tokenize, vocabulary


def test_the_vocabulary_is_in_the_order_of_the_tokens() -> None:
    entries = vocabulary()
    assert len(entries) == 49408
    start, apple, end, padding = tokenize(["apple"], 4)[0].tolist()
    assert entries[apple] == "apple</w>"
    assert (entries[start], entries[end]) == ("<start_of_text>", "<end_of_text>")
    assert padding == 0


def test_architectures_by_name() -> None:
    assert architecture("RN50")["vision_cfg"]["layers"] == [3, 4, 6, 3]
