"""Options shared by several configs."""

from vqclip.config.setting import IMAGE, METHOD, MODELS, OUTPUT, option
from vqclip.config.spelling import SIZES, WEIGHTED

_NAMED = "name in `vqclip weights list`, checkpoint or folder"

SIZE = option(
    *("--size", "-s"),
    panel=IMAGE,
    metavar="WxH",
    spelling=SIZES,
    help="Image size in pixels. Default: the VQGAN's training size.",
)
INPUT_SIZE = option(
    *("--size", "-s"),
    panel=IMAGE,
    metavar="WxH",
    spelling=SIZES,
    help="Resize the input to this size in pixels first. Default: its own size.",
)
FIT = option(
    "--fit",
    panel=IMAGE,
    help="How an input image is fitted to the size: cover crops, contain pads, or stretch.",
)
SEED = option(
    "--seed",
    panel=IMAGE,
    left_open=True,
    help="Random seed; the same seed gives the same image. Default: a new one each time.",
)
VQGAN = option(
    "--vqgan",
    panel=MODELS,
    metavar="NAME|PATH",
    help=f"VQGAN: {_NAMED}.",
)
VQGAN_CONFIG = option(
    "--vqgan-config",
    panel=MODELS,
    metavar="YAML",
    help="Config of the VQGAN. Default: the YAML beside its weights.",
)
CLIP = option(
    "--clip",
    panel=MODELS,
    metavar="NAME:WEIGHT",
    spelling=WEIGHTED,
    help="CLIP: MODEL/PRETRAINED of open_clip, hf-hub:NAME or a folder; repeat for several.",
)
TRANSFORMER = option(
    *("--transformer", "-t"),
    panel=MODELS,
    metavar="NAME|PATH",
    help=f"Transformer: {_NAMED}. Default: the built-in one.",
)
TRANSFORMER_CONFIG = option(
    "--transformer-config",
    panel=MODELS,
    metavar="YAML",
    help="Config of the transformer. Default: the YAML beside its weights.",
)
DEVICE = option("--device", panel=MODELS, help="Device: auto, cpu, cuda, cuda:1 or mps.")
PRECISION = option(
    "--precision",
    panel=MODELS,
    help="Number format: auto, float32, bfloat16, float16, or portable: float32 with the same "
    "bytes on every x86-64 CPU, and on a GPU from run to run.",
)
STYLE = option(
    "--style",
    panel=IMAGE,
    help="Style that the transformer draws in: a name in `vqclip list styles`; auto takes those "
    "that the prompt names, else several in turn; none takes no style.",
)
GUIDANCE = option(
    "--guidance",
    panel=METHOD,
    help="Strength of the prompt while the transformer samples codes; 1 is plain sampling.",
)
TEMPERATURE = option(
    "--temperature",
    panel=METHOD,
    help="Sampling temperature of the transformer; 0 always takes the most likely code.",
)
TOP_K = option(
    "--top-k", panel=METHOD, help="Sample from the K most likely codes; 0 samples from all."
)
TOP_P = option(
    "--top-p", panel=METHOD, help="Sample from the most likely codes whose probabilities add to P."
)
QUALITY = option("--quality", panel=OUTPUT, help="Quality of MP4 and WebP, 0 to 100.")
CODEC = option(
    "--codec", panel=OUTPUT, help="MP4 codec: h264 (plays everywhere), h265, vp9 or av1."
)
