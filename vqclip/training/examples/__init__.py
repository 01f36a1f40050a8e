"""Commented configs for all tasks of the VQGAN paper.

Each example trains in minutes on a CPU.
"""

from collections.abc import Mapping
from importlib.resources import files
from string import Template

from vqclip.registry import Registry

Values = Mapping[str, str]

_IMAGE_LOSS = """loss:
  pixel: l2              # [l1]
  perceptual: auto       # CLIP features from 64 pixels up; the paper's is lpips:PATH [lpips]
  codebook_decay: 0.95   # running average of latents; 0 trains with gradients [0]
  revive_after: 20       # reset a code after this many steps without use [0]
  # disc_start: 10000    # step from which the discriminator is used [250001]
  # disc_weight: 0.8     # [0.8]"""
_LABEL_LOSS = """loss:
  codebook_decay: 0.95   # running average of latents; 0 trains with gradients [0]
  revive_after: 20       # reset a code after this many steps without use [0]"""
_FLIPS = "  flip: 0.5              # share of mirrored images [0]"
_VARIETY = f"""  zoom: 1.3              # maximum enlargement, followed by a crop [1]
{_FLIPS}"""
_LABELS = """    n_labels: 8          # labels 0 to 7; equals in_channels and out_ch [182]
"""


def _vqgan(title: str, folder: str, key: str, channels: str, kind: str, **more: str) -> Values:
    sample = f"FOLDER/{folder}/IMAGE.png"
    return {
        "file": "vqgan.yaml",
        "kind": kind,
        "title": title,
        "paper": "Esser et al. 2021, section 3.1",
        "use": f"vqclip reconstruct {sample} --vqgan runs/{kind}/best",
        "folder": folder,
        "key": key,
        "channels": channels,
        "target": "VQModel",
        "labels": "",
        "loss": _IMAGE_LOSS,
        "conditions": "",
        "variety": _VARIETY,
        **more,
    }


def _condition(config: str) -> str:
    return f"  conditions:            # maps with the same names as the images\n    - {config}"


def _stage(source: str) -> str:
    return (
        "    cond_stage_config:   # the VQGAN for the conditions\n"
        "      target: vqclip.load_vqgan\n"
        f"      params: {{source: {source}}}"
    )


def _transformer(title: str, kind: str, option: str, needs: str, cond: str, **more: str) -> Values:
    use = f"vqclip sample -t runs/{kind}/last {option}".rstrip()
    return {
        "file": "transformer.yaml",
        "kind": kind,
        "title": title,
        "paper": "Esser et al. 2021, section 3.2",
        "use": use,
        "wide": f"{use} --size 64x32",
        "needs": needs,
        "key": kind,
        "block": "127",
        "cond": cond,
        "conditions": "",
        "steps": "1000",
        "variety": _VARIETY,
        **more,
    }


_IMAGES = "FOLDER/pictures contains the images. First, train a VQGAN on them (--example vqgan)."


def _maps(name: str, what: str) -> str:
    return (
        f"FOLDER/pictures contains the images, and FOLDER/{name} contains {what} with the\n"
        "# same names.\n"
        f"# First, train a VQGAN on each (--example vqgan and --example {_VQGAN_OF[name]})."
    )


_VQGAN_OF = {"depth": "depth-vqgan", "edges": "edges-vqgan", "labels": "segmentation-vqgan"}

#: Configs written by ``vqclip train --example``, by name.
EXAMPLES: Registry[Values] = Registry(
    "example",
    {
        "vqgan": _vqgan("A VQGAN for images", "pictures", "image", "3", "vqgan"),
        "depth-vqgan": _vqgan("A VQGAN for depth maps", "depth", "depth", "1", "depth-vqgan"),
        "edges-vqgan": _vqgan(  # not enlarged, because that would blur the edges
            "A VQGAN for edge maps", "edges", "edges", "1", "edges-vqgan", variety=_FLIPS
        ),
        "segmentation-vqgan": _vqgan(
            "A VQGAN for label maps",
            "labels",
            "segmentation",
            "8",
            "segmentation-vqgan",
            target="VQSegmentationModel",
            labels=_LABELS,
            loss=_LABEL_LOSS,
        ),
        "unconditional": _transformer(
            "Unconditional images",
            "unconditional",
            "",
            _IMAGES,
            "    cond_stage_config: __is_unconditional__",
            block="64",
        ),
        "class": _transformer(
            "Images of a class",
            "class",
            "--class NAME",
            f"{_IMAGES}\n# The subfolders of pictures are the classes.",
            "    cond_stage_config:\n"
            "      target: taming.modules.util.Labelator\n"
            "      params: {n_classes: 16} # at least the number of subfolders [1000]",
            block="64",
            conditions="  conditions: [{kind: class}] # all subfolders; or list their names",
        ),
        "coordinates": _transformer(
            "Images conditioned on coordinates",
            "coordinates",
            "",
            _IMAGES,
            "    cond_stage_config:\n"
            "      target: taming.modules.misc.coord.CoordStage\n"
            "      params: {n_embed: 64, down_factor: 4} # pixels per code [1024, 16]",
            key="coordinates",
            conditions="  conditions: [{kind: coordinates}] # positions of crops (data.crop)",
        ),
        "segmentation": _transformer(
            "Images from label maps",
            "segmentation",
            "--labels FOLDER/labels/MAP.png",
            _maps("labels", "label maps"),
            _stage("runs/segmentation-vqgan/best"),
            conditions=_condition("{kind: segmentation, folder: labels, count: 8}"),
        ),
        "depth": _transformer(
            "Images from depth maps",
            "depth",
            "--depth FOLDER/depth/MAP.png",
            _maps("depth", "depth maps"),
            _stage("runs/depth-vqgan/best"),
            conditions=_condition("{kind: depth, folder: depth}"),
            steps="2000",
        ),
        "edges": _transformer(
            "Images from edges",
            "edges",
            "--edges FOLDER/edges/MAP.png",
            _maps("edges", "white edges on black"),
            _stage("runs/edges-vqgan/best"),
            conditions=_condition("{kind: edges, folder: edges} # without a folder: Canny edges"),
            steps="2000",
        ),
        "super-resolution": _transformer(
            "Images from small images",
            "super-resolution",
            "--upscale SMALL.png",
            _IMAGES,
            "    cond_stage_config: __is_first_stage__ # the images' own VQGAN",
            key="lr",
            conditions="  conditions: [{kind: lr, scale: 4}] # the images at 1/4 of the size",
        ),
        "text": _transformer(
            "Images from text, with CLIP embeddings",
            "text",
            '--prompt "a red circle"',
            f"{_IMAGES}\n# A .txt beside each image contains its captions, one per line.",
            "    cond_stage_config:\n"
            "      target: vqclip.ClipEmbedding\n"
            "      params: {embed_dim: 256, n_tokens: 2} # add perceptor for another CLIP model",
            block="65",
            variety="  # flip: 0.5            # unless captions mention left or right",
        ),
        "clip": {"file": "clip.yaml", "kind": "clip"},
    },
)


def example(kind: str) -> str:
    """Return the YAML text of the example named ``kind``.

    Raises:
        UsageError: the kind is unknown; the message suggests the nearest one.
    """
    values = EXAMPLES[kind]
    text = files(__package__).joinpath(values["file"]).read_text(encoding="utf-8")
    lines = Template(text).substitute(values).splitlines()
    kept = [line.rstrip() for line in lines]
    return "\n".join(line for line in kept if line) + "\n"


def stage_of(kind: str) -> str:
    """Return the stage of an example: vqgan, transformer or clip."""
    return EXAMPLES[kind]["file"].removesuffix(".yaml")
