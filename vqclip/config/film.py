"""How frames become a film."""

from dataclasses import dataclass

from vqclip.config.checks import at_least, one_of
from vqclip.errors import UsageError

CODECS = ("h264", "h265", "vp9", "av1")


@dataclass(frozen=True)
class FilmConfig:
    """What a writer of films is told.

    rate: frames a second.
    quality: 0 to 100, of MP4 and WebP.
    codec: of MP4; h264 plays everywhere, the others make smaller files.
    loop: how often a GIF or WebP plays; 0 is for ever.
    """

    rate: float
    quality: int = 80
    codec: str = "h264"
    loop: int = 0

    def __post_init__(self) -> None:
        if not 0.1 <= self.rate <= 120:
            raise UsageError(f"fps must be 0.1 to 120, not {self.rate:g}")
        if not 0 <= self.quality <= 100:
            raise UsageError(f"quality must be 0 to 100, not {self.quality}")
        one_of("codec", self.codec, CODECS)
        at_least("loop", self.loop, 0)
        if self.loop > 65535:
            raise UsageError(f"loop must be at most 65535, not {self.loop}")
