"""Notes about deviations from the user's request."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vqclip.cli.terminal import Terminal
from vqclip.config.prompts import Prompt

if TYPE_CHECKING:
    from vqclip.hub.loaders import Models
    from vqclip.models.perceptor import Perceptor


def note_long_prompts(
    terminal: Terminal, prompts: Iterable[Prompt], perceptors: "Sequence[Perceptor]"
) -> None:
    """Print a note for each prompt that CLIP truncates."""
    for prompt in prompts:
        text = prompt.content
        cut = [p.lost_from(text) for p in perceptors if prompt.kind == "text" and p.truncates(text)]
        if cut:
            count, read, lost = min(cut, key=lambda each: each[1])
            number = len(text.split()) - len(lost.split()) + 1
            terminal.note(
                f"the prompt {text[:40]!r}… has {count} tokens, but CLIP reads only the first "
                f"{read} and ignores the text from word {number} on: {lost[:40]!r}"
            )


def note_no_positive_weight(terminal: Terminal, prompts: Sequence[Prompt]) -> None:
    """Print a note if there are prompts, but the image moves towards none of them."""
    if prompts and all(prompt.weight <= 0 for prompt in prompts):
        terminal.note("no prompt has a positive weight, so no prompt describes the image")


def note_slow_precision(terminal: Terminal, models: "Models") -> None:
    """Print a note if the processor emulates bfloat16, which is at least ten times slower."""
    import torch

    from vqclip.models.runtime import has_fast_bfloat16

    slow = models.dtype == torch.bfloat16 and not has_fast_bfloat16(models.device)
    if slow:
        terminal.note(
            "bfloat16 is very slow on this computer: --precision auto chooses a fast format"
        )
