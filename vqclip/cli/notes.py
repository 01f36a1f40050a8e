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
    """Print which prompts are truncated."""
    for text in (prompt.content for prompt in prompts if prompt.kind == "text"):
        cut = [found for perceptor in perceptors if (found := perceptor.too_long(text))]
        if cut:
            count, read = min(cut, key=lambda each: each[1])
            terminal.note(
                f"the prompt {text[:40]!r}… has {count} tokens, but CLIP reads only the first "
                f"{read} and ignores the rest"
            )


def note_slow_precision(terminal: Terminal, models: "Models") -> None:
    """Print a note if the processor emulates bfloat16, which is at least ten times slower."""
    import torch

    from vqclip.models.runtime import has_fast_bfloat16

    slow = models.dtype == torch.bfloat16 and not has_fast_bfloat16(models.device)
    if slow:
        terminal.note(
            "bfloat16 is very slow on this computer: --precision auto chooses a fast format"
        )
