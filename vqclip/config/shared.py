"""Options that several configs share."""

from dataclasses import replace

from vqclip.config.setting import IMAGE, METHOD, MODELS, OUTPUT, Option
from vqclip.config.spelling import SIZES, WEIGHTED

_NAMED = "a name from `vqclip weights list`, a checkpoint or a folder"

SIZE = Option(
    ("--size", "-s"),
    panel=IMAGE,
    metavar="WxH",
    spelling=SIZES,
    help="Image size in pixels. Default: the VQGAN's training size.",
)
SAMPLE_SIZE = replace(
    SIZE,
    help="Image size in pixels. Default: the size of the given map; with --upscale, four times the "
    "size of the given image; otherwise, the VQGAN's training size.",
)
VIDEO_SIZE = replace(
    SIZE,
    help="Video size in pixels. Default: the input's size, limited to 512 pixels per side.",
)
INPUT_SIZE = replace(
    SIZE,
    help="Resize the input to this size in pixels first. Default: keep the input's size.",
)
FIT = Option(
    ("--fit",),
    panel=IMAGE,
    help="How to fit an input image to the output size: cover (crop it), contain (pad it) or "
    "stretch.",
)
SEED = Option(
    ("--seed",),
    panel=IMAGE,
    left_open=True,
    help="Random seed; the same seed gives the same image. Default: a new seed each time.",
)
VQGAN = Option(
    ("--vqgan",),
    panel=MODELS,
    metavar="NAME|PATH",
    help=f"VQGAN: {_NAMED}.",
)
VQGAN_CONFIG = Option(
    ("--vqgan-config",),
    panel=MODELS,
    metavar="YAML",
    help="Config file for the VQGAN. Default: the YAML file beside the weights.",
)
CLIP = Option(
    ("--clip",),
    panel=MODELS,
    metavar="NAME:WEIGHT",
    spelling=WEIGHTED,
    help="CLIP model: an open_clip name (MODEL/PRETRAINED), hf-hub:NAME or a folder; may be "
    "repeated.",
)
TRANSFORMER = Option(
    ("--transformer", "-t"),
    panel=MODELS,
    metavar="NAME|PATH",
    help=f"Transformer: {_NAMED}. Default: the built-in transformer.",
)
TRANSFORMER_CONFIG = Option(
    ("--transformer-config",),
    panel=MODELS,
    metavar="YAML",
    help="Config file for the transformer. Default: the YAML file beside the weights.",
)
DEVICE = Option(("--device",), panel=MODELS, help="Device: auto, cpu, cuda, cuda:1 or mps.")
PRECISION = Option(
    ("--precision",),
    panel=MODELS,
    help="Precision: auto, float32, bfloat16, float16 or portable (float32 that gives the same "
    "bytes on every x86-64 CPU with AVX2, or in every run on the same GPU).",
)
STYLE = Option(
    ("--style",),
    panel=IMAGE,
    help="Style of the drafts or samples: a name from `vqclip list styles`, none, or auto (the "
    "styles named in the prompt or, if there are none, the first two in alternation).",
)
GUIDANCE = Option(
    ("--guidance",),
    panel=METHOD,
    help="How closely the transformer follows the prompt; 1 turns guidance off.",
)
TEMPERATURE = Option(
    ("--temperature",),
    panel=METHOD,
    help="Sampling temperature of the transformer; 0 always takes the most likely code.",
)
TOP_K = Option(
    ("--top-k",),
    panel=METHOD,
    help="Number of most likely codes to sample from; 0 uses all codes.",
)
TOP_P = Option(
    ("--top-p",),
    panel=METHOD,
    help="Sample only from the most likely codes, up to this total probability.",
)
RECALL = Option(
    ("--recall",),
    panel=METHOD,
    help="Share of codes, from 0 to 1, that the transformer copies from images in its memory.",
)
QUALITY = Option(
    ("--quality",), panel=OUTPUT, help="Quality of MP4 and WebP videos, from 0 to 100."
)
CODEC = Option(
    ("--codec",), panel=OUTPUT, help="MP4 codec: h264 (plays everywhere), h265, vp9 or av1."
)
