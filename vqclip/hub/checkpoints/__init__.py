"""Safe reading of any checkpoint, and construction of the model it contains.

Nothing in a file is ever executed or imported (see :mod:`.unpickling`).
"""

from vqclip.hub.checkpoints.configs import (
    ModelConfig,
    config_for,
    find_config,
    read_config,
    standalone,
)
from vqclip.hub.checkpoints.files import StateDict, read_state_dict, recognise
from vqclip.hub.checkpoints.fitting import infer_config, kind
from vqclip.hub.checkpoints.importing import Converted, SelfContained, convert
from vqclip.hub.checkpoints.models import (
    STAGE_NAMES,
    StageName,
    build_vqgan,
    load_vqgan_weights,
    new_vqgan,
    stage_config,
    stage_state,
)
from vqclip.hub.checkpoints.transformers import (
    LABELATOR,
    REFERENCE,
    build_transformer,
    codebook_hash,
    has_stage,
    holds_stage,
    load_transformer_weights,
    stage_reference,
    untrained_transformer,
)

__all__ = [
    "LABELATOR",
    "REFERENCE",
    "STAGE_NAMES",
    "Converted",
    "ModelConfig",
    "SelfContained",
    "StageName",
    "StateDict",
    "build_transformer",
    "build_vqgan",
    "codebook_hash",
    "config_for",
    "convert",
    "find_config",
    "has_stage",
    "holds_stage",
    "infer_config",
    "kind",
    "load_transformer_weights",
    "load_vqgan_weights",
    "new_vqgan",
    "read_config",
    "read_state_dict",
    "recognise",
    "stage_config",
    "stage_reference",
    "stage_state",
    "standalone",
    "untrained_transformer",
]
