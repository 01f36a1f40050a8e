"""Presets with the default settings of other VQGAN+CLIP programs.

Each preset maps fields of :class:`vqclip.config.GenerateConfig` to the defaults in the other
program's source code. A preset changes the method but not the models. The names and parameters of
cut methods and augmentations are defined in :mod:`vqclip.generation.cutouts`.
"""

from collections.abc import Mapping

from vqclip.registry import Registry

Preset = Mapping[str, object]

_NERDYRODENT: Preset = {
    "size": (512, 512),
    "steps": 500,
    "optimizer": "adam",
    "learning_rate": 0.1,
    "num_cutouts": 32,
    "cut_power": 1.0,
    "noise": 0.1,
    "init": "random",
    "init_weight": 0.0,
    "init_decay": "harmonic",
    "init_target": "zero",
}
_JITTER = "jitter(brightness=0.1,contrast=0.1,saturation=0.1,hue=0.1,p=0.7)"
_ERASING = "erasing(min_area=0.1,max_area=0.4,min_ratio=0.3,max_ratio=3.3333,p=0.7)"
_HUE_AND_SATURATION = "jitter(brightness=0,contrast=0,saturation=0.1,hue=0.1,p={p})"
# nerdyrodent's default augmentations, by its two-letter names: Af Pe Ji Er.
_LATEST = (
    "affine(degrees=15,translate=0.1,shear=5,p=0.7)",
    "perspective(distortion=0.7,p=0.7)",
    _JITTER,
    _ERASING,
)
# Augmentations of the original notebook's second version, called "updated" or "kornia" elsewhere.
_UPDATED = (
    "flip(p=0.5)",
    "jitter(brightness=0,contrast=0,saturation=0.01,hue=0.01,p=0.7)",
    "sharpness(low=0,high=0.3,p=0.4)",
    "affine(degrees=30,translate=0.1,shear=0,p=0.8)",
    "perspective(distortion=0.2,p=0.4)",
)

ABOUT: Mapping[str, str] = {
    "nerdyrodent": "nerdyrodent/VQGAN-CLIP, defaults: pooled cutouts and four augmentations.",
    "nerdyrodent-original": "nerdyrodent/VQGAN-CLIP, method original: plain crops.",
    "nerdyrodent-updated": "nerdyrodent/VQGAN-CLIP, method updated: augmented crops.",
    "nerdyrodent-nrupdated": "nerdyrodent/VQGAN-CLIP, method nrupdated: other augmentations.",
    "nerdyrodent-updatedpooling": "nerdyrodent/VQGAN-CLIP, method updatedpooling: milder colours.",
    "crowson": "Katherine Crowson's first notebook: 64 plain crops, learning rate 0.05.",
    "eleutherai": "EleutherAI/vqgan-clip: crops with normally distributed sizes.",
    "pixray": "pixray at normal quality, widescreen: zoomed cutouts, starting from Perlin noise.",
    "bigsleep": "lucidrains/big-sleep: cutouts and averaging, for 1 of its 20 epochs.",
    "rkhamilton": "rkhamilton/vqgan-clip-generator: kornia cutouts.",
    "rkhamilton-sg3": "rkhamilton/vqgan-clip-generator: sg3 cutouts, plain and averaged.",
}

PRESETS: Registry[Preset] = Registry(
    "preset",
    {
        # nerdyrodent/VQGAN-CLIP: its default method "latest", then its other methods by name.
        "nerdyrodent": {
            **_NERDYRODENT,
            "cut_method": "pooled",
            "augment": _LATEST,
        },
        "nerdyrodent-original": {
            **_NERDYRODENT,
            "cut_method": "crops",
            "augment": (),
            "noise": 0.0,
        },
        "nerdyrodent-updated": {**_NERDYRODENT, "cut_method": "crops", "augment": _UPDATED},
        "nerdyrodent-nrupdated": {
            **_NERDYRODENT,
            "cut_method": "crops",
            "augment": (
                "affine(degrees=30,translate=0.1,shear=5,p=0.7)",
                "perspective(distortion=0.5,p=0.7)",
                _JITTER,
                _ERASING,
            ),
        },
        "nerdyrodent-updatedpooling": {
            **_NERDYRODENT,
            "cut_method": "pooled",
            "augment": (
                "affine(degrees=15,translate=0.1,shear=0,p=0.7)",
                "perspective(distortion=0.7,p=0.7)",
                _HUE_AND_SATURATION.format(p=0.7),
                _ERASING,
            ),
        },
        # Katherine Crowson's first notebook, which ran until it was stopped.
        "crowson": {
            "size": (480, 480),
            "steps": 500,
            "optimizer": "adam",
            "learning_rate": 0.05,
            "num_cutouts": 64,
            "cut_method": "crops",
            "cut_power": 1.0,
            "augment": (),
            "noise": 0.0,
            "init": "random",
            "init_weight": 0.0,
        },
        # EleutherAI/vqgan-clip: "latest".
        "eleutherai": {
            **_NERDYRODENT,
            "cut_method": "normal-crops(mean=0.8,std=0.3)",
            "augment": _LATEST,
        },
        # pixray: quality "normal", aspect "widescreen".
        "pixray": {
            "size": (384, 216),
            "steps": 300,
            "optimizer": "adam",
            "learning_rate": 0.2,
            "num_cutouts": 30,
            "cut_method": "zoom(zoomed=0.6)",
            "cut_power": 1.0,
            "augment": (_HUE_AND_SATURATION.format(p=0.8),),
            "noise": 0.1,
            "init": "perlin",
            "init_weight": 0.0,
            "schedule": "drop",
        },
        # lucidrains/big-sleep: one of its 20 epochs.
        "bigsleep": {
            "size": (512, 512),
            "steps": 1050,
            "optimizer": "adam",
            "learning_rate": 0.07,
            "num_cutouts": 128,
            "cut_method": "normal-crops(mean=0.8,std=0.3,low=0.5,high=0.95)",
            "cut_power": 1.0,
            "augment": (),
            "noise": 0.0,
            "init": "random",
            "init_weight": 0.0,
            "ema": 0.5,
        },
        # rkhamilton/vqgan-clip-generator: cut method "kornia", then "sg3".
        "rkhamilton": {
            **_NERDYRODENT,
            "size": (256, 256),
            "steps": 100,
            "cut_method": "crops",
            "augment": _UPDATED,
        },
        "rkhamilton-sg3": {
            **_NERDYRODENT,
            "size": (256, 256),
            "steps": 100,
            "cut_method": "avg-pooled",
            "augment": (),
            "noise": 0.0,
        },
    },
)
