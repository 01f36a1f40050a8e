"""The transformer's optimizer: AdamW, or Muon for matrices and AdamW for the rest."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from vqclip.models.gpt import GPT
from vqclip.training.transformer.settings import TransformerLoss


def optimizer_of(
    networks: Iterable[nn.Module], rate: float, loss: TransformerLoss
) -> torch.optim.Optimizer:
    """Return AdamW or, with ``muon``, Muon for the matrices in GPT blocks and AdamW for the rest.

    Both use the same learning rate and decay.
    """
    networks = list(networks)
    groups = weight_groups(networks, loss.weight_decay)
    if not loss.muon:
        return torch.optim.AdamW(groups, rate, (0.9, 0.95))
    inside = {
        id(p)
        for network in networks
        if isinstance(network, GPT)
        for p in network.blocks.parameters()
        if p.ndim == 2
    }
    matrices = [p for p in groups[0]["params"] if id(p) in inside]
    groups[0]["params"] = [p for p in groups[0]["params"] if id(p) not in inside]
    muon = torch.optim.Muon(matrices, rate, loss.weight_decay, adjust_lr_fn="match_rms_adamw")
    return Together(torch.optim.AdamW(groups, rate, (0.9, 0.95)), muon)


def weight_groups(networks: Iterable[nn.Module], decay: float) -> list[dict[str, Any]]:
    """Return two parameter groups: weights of linear layers, which decay, and the rest.

    Biases, norms, embeddings and positions do not decay, as in taming-transformers.
    """
    modules = [module for network in networks for module in network.modules()]
    linear = {id(module.weight) for module in modules if isinstance(module, nn.Linear)}
    parameters = [p for module in modules for p in module.parameters(recurse=False)]
    return [
        {"params": [p for p in parameters if id(p) in linear], "weight_decay": decay},
        {"params": [p for p in parameters if id(p) not in linear], "weight_decay": 0.0},
    ]


class Together(Optimizer):
    """Optimizers for different parameters, stepped together and saved as one.

    Args:
        optimizers: optimizers without shared parameters.
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        self.optimizers = optimizers
        super().__init__([g for each in optimizers for g in each.param_groups], {})
        # shares the optimizers' group objects, so that learning rates set here affect them
        self.param_groups = [g for each in optimizers for g in each.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Step each optimizer; ``closure`` is not called."""
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizers' states, keyed by index."""
        return {str(i): each.state_dict() for i, each in enumerate(self.optimizers)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load states returned by :meth:`state_dict`."""
        for number, optimizer in enumerate(self.optimizers):
            optimizer.load_state_dict(dict(state_dict[str(number)]))
        self.param_groups = [g for each in self.optimizers for g in each.param_groups]
