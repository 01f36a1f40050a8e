"""VQGANs that a transformer's config refers to by name or path."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqclip.config import DEFAULT
from vqclip.files.environment import user_path
from vqclip.hub import model_files
from vqclip.hub.loaders import referred
from vqclip.hub.model_files import STAGE_NAMES, ModelConfig, SelfContained, StageName
from vqclip.hub.paths import vqgan_path
from vqclip.models.vqgan import VQModel, codebook_hash


def referred_stages(config: ModelConfig) -> dict[StageName, VQModel]:
    """Load the VQGANs that a config refers to.

    Raises:
        UsageError: a VQGAN does not exist.
        CheckpointError: a codebook is not the one that the transformer was trained with.
    """
    found = {stage: referred(config, stage) for stage in STAGE_NAMES}
    return {stage: vqgan for stage, vqgan in found.items() if vqgan is not None}


def self_contained(config: ModelConfig, vqgans: Mapping[StageName, VQModel]) -> SelfContained:
    """Return a transformer's config that does not depend on the current folder.

    A VQGAN referenced by name (``default``, or a name listed by ``vqclip weights``) remains a
    reference, with the hash of its codebook. A VQGAN referenced by path is described in full, so
    that it can be stored with the transformer.

    Args:
        config: the transformer's config.
        vqgans: the transformer's VQGANs, by stage.
    """
    params, elsewhere, referred = dict(config.params), set[StageName](), dict[StageName, VQModel]()
    for stage, vqgan in vqgans.items():
        if (reference := model_files.stage_reference(config, stage)) is None:
            continue
        source, referred[stage] = reference[0], vqgan
        if source == DEFAULT or not user_path(source).exists():  # a name rather than a path
            elsewhere.add(stage)
            named = {"source": source, "codebook": codebook_hash(vqgan)}
            stage_config = {"target": model_files.REFERENCE, "params": named}
        else:
            stage_config = described_vqgan(source)
        params[f"{stage}_stage_config"] = stage_config
    if vqgans.get("cond") is vqgans.get("first"):
        elsewhere.add("cond")
    own = model_files.standalone(ModelConfig(config.target, params, config.name))
    return SelfContained(ModelConfig.of(own, config.name), frozenset(elsewhere), referred)


def described_vqgan(source: str | Path) -> dict[str, Any]:
    """Return a VQGAN's target and params, from its config or inferred from its weights."""
    weights = vqgan_path(source)
    config = model_files.config_for(weights)
    config = config or model_files.infer_config(model_files.read_state_dict(weights))
    return model_files.standalone(model_files.stage_config(config, "first"))


def without_references(config: ModelConfig) -> dict[str, Any]:
    """Return target and params for taming-transformers, with all VQGANs described in full."""
    params: dict[str, Any] = dict(config.params)
    for stage in STAGE_NAMES:
        if (reference := model_files.stage_reference(config, stage)) is not None:
            params[f"{stage}_stage_config"] = described_vqgan(reference[0])
    whole = model_files.standalone(ModelConfig(config.target, params, config.name))
    stage = whole["params"].get("cond_stage_config")
    if isinstance(stage, dict) and stage["target"] == model_files.LABELATOR:
        stage["params"].pop("names", None)  # taming-transformers does not accept names
    return whole
