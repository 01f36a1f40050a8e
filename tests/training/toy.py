"""A stage and data small enough to test the loop in milliseconds."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vqclip.training.stage import Batch, Metrics, Objective


class ToyData:
    """Images of one random colour and noise, determined by the seed and the number."""

    noise = 32

    def __init__(self, size: int = 8, seed: int = 0) -> None:
        self.size, self.seed = size, seed

    def __getitem__(self, number: int) -> dict[str, Any]:
        generator = np.random.default_rng([self.seed, number])
        colour = generator.integers(32, 224, (3, 1, 1))
        noise = generator.integers(-self.noise, self.noise, (3, self.size, self.size))
        image = (colour + noise).astype(np.uint8)
        return {"image": image, "text": f"picture {number}", "index": number}

    @property
    def held_out(self) -> Sequence[dict[str, Any]]:
        return [self[10**6 + i] for i in range(6)]


class ToyStage:
    """A stage that denoises with a convolution, and judges the result with a second objective."""

    better: Literal["min", "max"] = "min"
    rows = 2
    settings: Any = None

    def __init__(self, learning_rate: float = 0.01) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.model.append(nn.Dropout(0.2)).append(nn.Conv2d(8, 3, 3, padding=1))
        self.judge = nn.Conv2d(3, 1, 3)
        self.networks = {"model": self.model, "judge": self.judge}
        adam = torch.optim.Adam
        self.objectives = [
            Objective("model", adam(self.model.parameters(), learning_rate), self.loss),
            Objective("judge", adam(self.judge.parameters(), learning_rate), self.judgement),
        ]

    def check(self, batch: Batch) -> None:
        pass

    def loss(self, batch: Batch, step: int) -> tuple[Tensor | None, Metrics]:
        image = batch["image"]
        out = self.model(image + 0.1 * torch.randn_like(image))
        error = (out - image).square().mean()
        return error - 0.01 * self.judge(out).mean(), {"error": error.detach()}

    def judgement(self, batch: Batch, step: int) -> tuple[Tensor | None, Metrics]:
        if step < 2:
            return None, {"judgement": torch.zeros(())}
        with torch.no_grad():
            fake = self.model(batch["image"])
        loss = (1 - self.judge(batch["image"])).relu().mean() + (1 + self.judge(fake)).relu().mean()
        return loss, {"judgement": loss.detach()}

    def after_step(self, batch: Batch, step: int) -> None:
        pass

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        errors = [(self.model(b["image"]) - b["image"]).square().mean() for b in batches]
        return {"error": float(torch.stack(errors).mean())}

    def pictures(self, batch: Batch) -> Tensor:
        image = batch["image"]
        return torch.stack([image, self.model(image)], 1).flatten(0, 1) / 2 + 0.5

    def export(self, folder: Path) -> None:
        save_file(dict(self.model.state_dict()), folder / "model.safetensors")
