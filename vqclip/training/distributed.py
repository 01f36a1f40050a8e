"""Process and device set-up with Hugging Face Accelerate.

Gradients are averaged here rather than by a wrapper around the networks. A loss may therefore use
the networks freely (in part, twice or not at all), and every stage remains plain PyTorch.
"""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.models.runtime import resolve_device, resolve_precision
from vqclip.training.settings import LoopSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

_MIXED = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}


def make_accelerator(settings: LoopSettings) -> "Accelerator":
    """Return an Accelerator for this process, set to the device and precision in ``settings``.

    Raises:
        UsageError: Accelerate is not installed, or the device or precision is unavailable.
    """
    if find_spec("accelerate") is None:
        raise UsageError("training needs more packages: run pip install 'vqclip[train]'")
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Accelerate keeps its first choices for the whole process, so reset them
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.precision, device)
    try:
        return Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=_MIXED[precision],
            gradient_accumulation_steps=1,  # the loop accumulates
        )
    except ValueError as error:
        raise UsageError(f"cannot train with these settings: {error}") from error


def average_gradients(accelerator: "Accelerator", parameters: Sequence[nn.Parameter]) -> None:
    """Average gradients over all processes; a missing gradient counts as 0."""
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat: Tensor = accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


@torch.no_grad()
def share_weights(accelerator: "Accelerator", networks: Iterable[nn.Module]) -> None:
    """Copy weights and buffers from the first process to all others."""
    if accelerator.num_processes == 1:
        return
    for network in networks:
        for value in network.state_dict().values():
            whole = value.contiguous()  # broadcast rejects channels-last tensors
            torch.distributed.broadcast(whole, 0)
            value.copy_(whole)


def gather(values: Tensor) -> Tensor:
    """Concatenate (b, ...) values from all n processes in rank order: (n·b, ...)."""
    if not torch.distributed.is_initialized():
        return values
    parts = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def anywhere(accelerator: "Accelerator", flag: bool) -> bool:
    """Return whether ``flag`` is set in any process."""
    if accelerator.num_processes == 1:
        return flag
    flags = torch.tensor(float(flag), device=accelerator.device)
    return bool(accelerator.reduce(flags, "sum") > 0)
