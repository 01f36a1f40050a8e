"""Model configs as plain data; nothing in them is imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vqclip.errors import CheckpointError
from vqclip.files.safe_yaml import read_yaml

_NO_LOSS = {"target": "taming.modules.losses.DummyLoss"}  # taming-transformers requires a loss


@dataclass(frozen=True)
class ModelConfig:
    """A ``target`` (a dotted class name, compared only as text) and its ``params``."""

    target: str
    params: Mapping[str, Any] = field(default_factory=dict)
    name: str = "config"

    @classmethod
    def of(cls, values: Any, name: str) -> "ModelConfig":
        """Build a config from ``{"target": ..., "params": {...}}``, possibly under ``model``.

        Raises:
            CheckpointError: ``values`` does not contain a config.
        """
        if isinstance(values, Mapping) and isinstance(values.get("model"), Mapping):
            values = values["model"]
        if not isinstance(values, Mapping) or not isinstance(values.get("target"), str):
            raise CheckpointError(f"{name} is not a model's config: it has no model.target")
        params = values.get("params") or {}
        if not isinstance(params, Mapping):
            raise CheckpointError(f"{name} is not a model's config: its params are not a mapping")
        return cls(values["target"], params, name)

    def part(self, key: str) -> "ModelConfig":
        """Return a nested model's config, such as ``first_stage_config``."""
        return self.of(self.params.get(key), f"{key} in {self.name}")

    def file(self, name: str) -> Path:
        """Return the path of a file named in the config, either as given or beside the config."""
        path, beside = Path(name), Path(self.name).parent / Path(name).name
        return beside if beside.is_file() and not path.is_file() else path


def read_config(path: Path | str) -> ModelConfig:
    """Read ``model.target`` and ``model.params`` from a YAML file.

    Raises:
        UsageError: the file does not exist.
        UnsafeCheckpointError: the file would create Python objects.
        CheckpointError: the file is not YAML, is too large, or does not contain a model config.
    """
    path = Path(path)
    return ModelConfig.of(read_yaml(path), str(path))


def find_config(weights: Path) -> Path | None:
    """Return the path of a checkpoint's YAML file, or None if there is none.

    These files are tried in order: the checkpoint's own name with ``.yaml`` or ``.yml``;
    ``config.yaml`` and ``model.yaml`` beside the checkpoint; and the same two names and the latest
    ``*project.yaml`` in ``../configs``, where training runs keep their configs.
    """
    configs = weights.parent.parent / "configs"
    names = [weights.parent / f"{weights.stem}{ending}" for ending in (".yaml", ".yml")]
    for folder in (weights.parent, configs):
        names += [folder / "config.yaml", folder / "model.yaml"]
    names += sorted(configs.glob("*project.yaml"), reverse=True)
    return next((name for name in names if name.is_file()), None)


def config_for(weights: Path, given: Path | str | None = None) -> ModelConfig | None:
    """Read the given config or, by default, the checkpoint's own; return None if there is none."""
    file = given or find_config(weights)
    return read_config(file) if file else None


def standalone(config: ModelConfig) -> dict[str, Any]:
    """Return the target and params as plain data, with a dummy loss and without ``ckpt_path``."""
    params = {
        key: plain_values(value) for key, value in config.params.items() if key != "ckpt_path"
    }
    if "ddconfig" in params:
        params["lossconfig"] = dict(_NO_LOSS)
    for stage in ("first_stage_config", "cond_stage_config"):
        if isinstance(params.get(stage), dict):
            params[stage] = standalone(config.part(stage))
    return {"target": config.target, "params": params}


def plain_values(value: Any) -> Any:
    """Return ``value`` with mappings as dicts and tuples as lists, as YAML requires."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(entry) for key, entry in value.items()}
    return [plain_values(entry) for entry in value] if isinstance(value, list | tuple) else value
