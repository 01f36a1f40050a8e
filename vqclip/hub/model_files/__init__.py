"""Safe reading of model files, and construction of the models they contain.

Nothing in a file is ever executed or imported (see :mod:`.unpickling`).
"""

from vqclip.hub.model_files.configs import (
    ModelConfig,
    config_for,
    read_config,
    standalone,
)
from vqclip.hub.model_files.files import StateDict, read_state_dict, recognise
from vqclip.hub.model_files.fitting import infer_config, kind
from vqclip.hub.model_files.importing import SelfContained, write_model
from vqclip.hub.model_files.models import (
    STAGE_NAMES,
    StageName,
    load_vqgan_weights,
    new_vqgan,
    stage_config,
)
from vqclip.hub.model_files.transformers import (
    LABELATOR,
    REFERENCE,
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
    "ModelConfig",
    "SelfContained",
    "StageName",
    "StateDict",
    "config_for",
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
    "standalone",
    "untrained_transformer",
    "write_model",
]
