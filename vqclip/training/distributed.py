"""Process and device set-up with Hugging Face Accelerate.

Gradients are averaged here rather than by a wrapper around the networks: so a loss may use them as
it likes (parts of them, twice, or not at all), and every stage stays plain PyTorch.
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
    """Return Accelerate's idea of this process: device, precision, and its fellows.

    Raises:
        UsageError: Accelerate is not installed, or the device or precision is not there.
    """
    if find_spec("accelerate") is None:
        raise UsageError("training needs more packages: pip install 'vqclip[train]'")
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Accelerate keeps the choices of a process's first training: let each have its own
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
        raise UsageError(f"cannot train so: {error}") from error


def average_gradients(accelerator: "Accelerator", parameters: Sequence[nn.Parameter]) -> None:
    """Average gradients over all processes; a weight that some left out counts as 0 there."""
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
    """Give every process the weights and buffers of the first one."""
    if accelerator.num_processes == 1:
        return
    for network in networks:
        for value in network.state_dict().values():
            whole = value.contiguous()  # what is channels-last cannot be sent
            torch.distributed.broadcast(whole, 0)
            value.copy_(whole)


def gather(values: Tensor) -> Tensor:
    """Return the values of all processes, (b, ...) of each, in their order: (n·b, ...)."""
    if not torch.distributed.is_initialized():
        return values
    parts = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def anywhere(accelerator: "Accelerator", flag: bool) -> bool:
    """Whether ``flag`` is set in any process."""
    if accelerator.num_processes == 1:
        return flag
    flags = torch.tensor(float(flag), device=accelerator.device)
    return bool(accelerator.reduce(flags, "sum") > 0)
