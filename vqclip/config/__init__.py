"""Frozen dataclasses for settings and output files, with all defaults."""

from vqclip.config.checks import AUTO, DEFAULT, FITS, MAX_OWN_PIXELS, MAX_SEED, MAX_SIDE
from vqclip.config.files import CodesConfig, FileOptions, OutputConfig
from vqclip.config.generate import DECAYS, DRAWN, SCHEDULE_NAMES, TARGETS, GenerateConfig
from vqclip.config.restyle import RestyleConfig
from vqclip.config.sample import CompleteConfig, SampleConfig
from vqclip.config.story import StoryConfig
from vqclip.config.video import (
    CODECS,
    INTERPOLATIONS,
    AnimateConfig,
    TimingConfig,
    VideoConfig,
    VideoOutput,
)

__all__ = [
    "AUTO",
    "CODECS",
    "DECAYS",
    "DEFAULT",
    "DRAWN",
    "FITS",
    "INTERPOLATIONS",
    "MAX_OWN_PIXELS",
    "MAX_SEED",
    "MAX_SIDE",
    "SCHEDULE_NAMES",
    "TARGETS",
    "AnimateConfig",
    "CodesConfig",
    "CompleteConfig",
    "FileOptions",
    "GenerateConfig",
    "OutputConfig",
    "RestyleConfig",
    "SampleConfig",
    "StoryConfig",
    "TimingConfig",
    "VideoConfig",
    "VideoOutput",
]
