"""Read a model's YAML config as data: nothing that it names is imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vqclip.errors import CheckpointError, UnsafeCheckpointError, UsageError

_MOST_BYTES = 1 << 20
_MOST_NODES = 100_000


@dataclass(frozen=True)
class ModelConfig:
    """A ``target`` (dotted class name, only ever compared as text) and its ``params``."""

    target: str
    params: Mapping[str, Any] = field(default_factory=dict)
    name: str = "config"

    @classmethod
    def of(cls, values: Any, name: str) -> "ModelConfig":
        """Build from ``{"target": ..., "params": {...}}``, alone or under ``model``.

        Raises:
            CheckpointError: there is no such thing in ``values``.

        """
        if isinstance(values, Mapping) and isinstance(values.get("model"), Mapping):
            values = values["model"]
        if not isinstance(values, Mapping) or not isinstance(values.get("target"), str):
            raise CheckpointError(f"{name} is not a model's config: it has no model.target")
        params = values.get("params") or {}
        if not isinstance(params, Mapping):
            raise CheckpointError(f"{name} is not a model's config: its params are no mapping")
        return cls(values["target"], params, name)

    def part(self, key: str) -> "ModelConfig":
        """The config of a nested model, such as ``first_stage_config``."""
        return self.of(self.params.get(key), f"{key} in {self.name}")

    def file(self, name: str) -> Path:
        """A file that the config mentions: as it stands, or beside the config."""
        path, beside = Path(name), Path(self.name).parent / Path(name).name
        return beside if beside.is_file() and not path.is_file() else path


def read_config(path: Path | str) -> ModelConfig:
    """Read ``model.target`` and ``model.params`` from a YAML file.

    Raises:
        UsageError: there is no such file.
        UnsafeCheckpointError: the file names Python objects to be made.
        CheckpointError: the file is no YAML, too large, or no model's config.

    """
    path = Path(path)
    return ModelConfig.of(_parse(_text(path), path), str(path))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CheckpointError(f"{path} is too large for a config; is it the checkpoint?")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the config {path}: {reason}") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is not a text file; give the model's YAML") from None
    if text.lstrip().lower().startswith(("<!doctype", "<html", "<?xml", "<head")):
        raise CheckpointError(f"{path} is a web page saved in place of a config; fetch it again")
    return text


def _parse(text: str, path: Path) -> Any:
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise CheckpointError(f"{path} is empty; give the model's YAML")
        if _size(node, {}) > _MOST_NODES:
            raise CheckpointError(f"{path} unfolds to far too many entries; it was refused")
        return loader.construct_document(node)
    except yaml.constructor.ConstructorError as error:
        if "2002:python/" in str(error.problem):
            raise UnsafeCheckpointError(
                f"{path} asks for Python objects to be made ({error.problem}); it was refused"
            ) from None
        raise _not_yaml(path, error) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _not_yaml(path, error) from None


def _not_yaml(path: Path, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())
    return CheckpointError(f"{path} is not valid YAML ({reason:.150}); give the model's config")


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Entries below ``node`` with every alias written out; an alias of itself is endless."""
    if id(node) not in known:
        known[id(node)] = _MOST_NODES + 1  # stands while this node is being counted
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        pairs = isinstance(node, yaml.MappingNode)
        flat = [part for pair in children for part in pair] if pairs else children
        known[id(node)] = 1 + sum(_size(child, known) for child in flat)
    return known[id(node)]


def find_config(weights: Path) -> Path | None:
    """The YAML that lies with a checkpoint, or None.

    Looked for, in this order: the checkpoint's own name with ``.yaml``; ``config.yaml`` and
    ``model.yaml`` beside it; the same, and the newest ``*project.yaml``, in ``../configs``
    (where training runs keep it).
    """
    configs = weights.parent.parent / "configs"
    names = [weights.parent / f"{weights.stem}{ending}" for ending in (".yaml", ".yml")]
    for folder in (weights.parent, configs):
        names += [folder / "config.yaml", folder / "model.yaml"]
    names += sorted(configs.glob("*project.yaml"), reverse=True)
    return next((name for name in names if name.is_file()), None)
