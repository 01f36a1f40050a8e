"""The ``ddconfig`` of taming configs: the shape of VQGAN's encoder and decoder."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from vqclip.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T", bound="DataclassInstance")

NORM_GROUPS = 32
_MOST_LEVELS, _MOST_BLOCKS, _MOST_CHANNELS = 16, 64, 1 << 16


@dataclass(frozen=True, kw_only=True)
class DDConfig:
    """The ``ddconfig`` section of a taming config: the shape of the encoder and decoder.

    A level has attention if, for an input of ``resolution`` pixels per side, its size is in
    ``attn_resolutions``. Actual inputs may have any size.

    Raises:
        UsageError: a value is invalid.
    """

    ch: int
    out_ch: int
    num_res_blocks: int
    attn_resolutions: tuple[int, ...]
    in_channels: int
    resolution: int
    z_channels: int
    ch_mult: tuple[int, ...] = (1, 2, 4, 8)
    dropout: float = 0.0
    resamp_with_conv: bool = True
    double_z: bool = True
    give_pre_end: bool = False
    tanh_out: bool = False
    attn_type: str = "vanilla"

    def __post_init__(self) -> None:
        for name in ("attn_resolutions", "ch_mult"):
            object.__setattr__(self, name, _int_tuple(name, getattr(self, name)))
        for name in ("ch", "out_ch", "num_res_blocks", "in_channels", "resolution", "z_channels"):
            value = getattr(self, name)
            _require(_is_count(value), name, value, f"a whole number from 1 to {_MOST_CHANNELS}")
        levels = f"1 to {_MOST_LEVELS} numbers, one for each level"
        _require(0 < self.num_levels <= _MOST_LEVELS, "ch_mult", self.ch_mult, levels)
        blocks = self.num_res_blocks
        _require(blocks <= _MOST_BLOCKS, "num_res_blocks", blocks, f"at most {_MOST_BLOCKS}")
        self._check_widths()
        fits = isinstance(self.dropout, int | float) and 0 <= self.dropout < 1
        _require(fits, "dropout", self.dropout, "a number of at least 0 and below 1")
        known = ("vanilla", "none")
        _require(self.attn_type in known, "attn_type", self.attn_type, " or ".join(known))

    def _check_widths(self) -> None:
        odd = [width for width in self.widths if width % NORM_GROUPS]
        if odd:
            raise UsageError(
                f"ddconfig.ch {self.ch} with ch_mult {list(self.ch_mult)!s:.60} gives a level "
                f"{odd[0]} channels, which is not a multiple of {NORM_GROUPS}, the number of "
                f"norm groups: set ddconfig.ch to {NORM_GROUPS} or a multiple"
            )
        most = f"smaller ones, for at most {_MOST_CHANNELS} channels"
        _require(max(self.widths) <= _MOST_CHANNELS, "ch_mult", self.ch_mult, most)

    @classmethod
    def of(cls, values: "DDConfig | Mapping[str, Any]") -> "DDConfig":
        """Build a config from a mapping read from YAML, ignoring unknown entries."""
        if isinstance(values, DDConfig):
            return values
        return built(cls, values, "ddconfig")

    @property
    def num_levels(self) -> int:
        """Number of levels, each with half the resolution of the previous level."""
        return len(self.ch_mult)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels per level, from the highest resolution to the lowest."""
        return tuple(self.ch * multiplier for multiplier in self.ch_mult)

    @property
    def downsampling(self) -> int:
        """Pixels per latent cell along one side."""
        return 1 << (self.num_levels - 1)

    def has_attention(self, level: int, *, from_bottom: bool = False) -> bool:
        """Return whether the blocks of ``level`` are followed by attention.

        The encoder halves sizes from the top level down. The decoder (``from_bottom``) doubles
        them from the bottom level up. The two sizes of a level differ when ``resolution`` is not a
        multiple of ``downsampling``.
        """
        size = self.resolution >> level
        if from_bottom:
            bottom = self.num_levels - 1
            size = (self.resolution >> bottom) << (bottom - level)
        return self.attn_type != "none" and size in self.attn_resolutions


def built(kind: type[_T], values: Mapping[str, Any], name: str) -> _T:
    """Build an instance of ``kind`` from the config section ``name``, ignoring unknown entries.

    Raises:
        UsageError: a value is missing or invalid.
    """
    known = {field.name for field in fields(kind)}
    try:
        return kind(**{name: value for name, value in values.items() if name in known})
    except TypeError as error:
        missing = str(error).split("__init__() ")[-1]
        raise UsageError(f"{name} is incomplete: {missing}; add these values") from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_CHANNELS


def _require(fits: bool, name: str, value: object, wanted: str) -> None:
    if not fits:
        raise UsageError(f"ddconfig.{name} cannot be {value!r:.80}: use {wanted}")


def _int_tuple(name: str, values: Any) -> tuple[int, ...]:
    fits = isinstance(values, list | tuple) and all(_is_count(value) for value in values)
    _require(fits, name, values, "a list of whole numbers above 0")
    return tuple(values)
