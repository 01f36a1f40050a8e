"""Serialization of optimizer states as tensors and JSON, without pickle.

Tensors are stored by name in safetensors, and all other values in JSON. Floats are restored
bit for bit. Tuples, tensors and mappings keep their types, even when nested.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from vqclip.errors import UsageError

Device = str | torch.device


def to_json(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """Return ``value`` as JSON; add its tensors to ``tensors`` under names starting with ``name``.

    Raises:
        UsageError: the value contains an unsupported type.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name} if value.device.type == "cpu" else {"tensor": name, "moved": True}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, list | tuple | deque):
        items = [to_json(item, tensors, f"{name}/{i}") for i, item in enumerate(value)]
        if isinstance(value, deque):
            return {"deque": items, "most": value.maxlen}
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, Mapping):
        return {
            "map": [
                [to_json(key, tensors, f"{name}/key{i}"), to_json(item, tensors, f"{name}/{i}")]
                for i, (key, item) in enumerate(value.items())
            ]
        }
    raise UsageError(
        f"this optimizer keeps a {type(value).__name__} ({name}), which a checkpoint cannot "
        "store: choose another `optimizer`"
    )


def from_json(value: Any, tensors: Mapping[str, Tensor], device: Device = "cpu") -> Any:
    """Undo :func:`to_json`; tensors that were not on the CPU are moved to ``device``."""
    if isinstance(value, list):
        return [from_json(item, tensors, device) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value))
    if kind == "tensor":
        return tensors[value[kind]].to(device if "moved" in value else "cpu")
    if kind == "dtype":
        return getattr(torch, value[kind])
    items = from_json(value[kind], tensors, device)
    if kind == "map":
        return dict(items)
    return deque(items, value["most"]) if kind == "deque" else tuple(items)


def put_back(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Restore the exact state of an optimizer from its ``state_dict``.

    ``load_state_dict`` would cast integers in the state to the dtype of the parameters.
    """
    parameters: dict[Any, Any] = {}
    for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        group.update({key: value for key, value in saved.items() if key != "params"})
        parameters |= zip(saved["params"], group["params"], strict=True)
    optimizer.state.clear()
    for key, moments in state["state"].items():
        optimizer.state[parameters.get(key, key)] = moments


def detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return detached CPU copies of ``tensors``, unaffected by later steps."""
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
