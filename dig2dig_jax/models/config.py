"""Which guided-diffusion network is this? Configurations as frozen dataclasses, and the rules that derive them from
OpenAI's command-line flags (openai/guided-diffusion, `script_util.create_model` and its relatives)."""

import dataclasses
from typing import Any

from dig2dig_jax.models import bounds

# Channel multipliers that guided-diffusion picks from the image size when none are given.
_DIFFUSION_MULT = {
  512: (0.5, 1, 1, 2, 2, 4, 4),
  256: (1, 1, 2, 2, 4, 4),
  128: (1, 1, 2, 3, 4),
  64: (1, 2, 3, 4),
}
POOLS = ("adaptive", "attention", "spatial", "spatial_v2")
_HEADS, _FLAG = bounds.whole(1, 4096), bounds.boolean()
_RULES = {  # of a configuration that comes from a file
  "image_size": bounds.whole(1, 8192),
  "model_channels": bounds.whole(1, 8192),
  "out_channels": bounds.whole(1, 100_000),
  "num_res_blocks": bounds.whole(0, bounds.MOST_BLOCKS),
  "attention_ds": bounds.some(bounds.whole(0, 8192), least=0, most=16),
  "channel_mult": bounds.some(bounds.real(0, 64, above=True), least=1, most=10),
  "in_channels": bounds.whole(1, 64),
  "num_classes": bounds.optional(bounds.whole(1, 1_000_000)),
  "num_heads": _HEADS,
  "num_head_channels": bounds.optional(_HEADS, without=-1),
  "num_heads_upsample": bounds.optional(_HEADS, without=-1),
  "use_scale_shift_norm": _FLAG,
  "resblock_updown": _FLAG,
  "use_new_attention_order": _FLAG,
  "super_resolution": _FLAG,
  "dropout": bounds.real(0, 0.999),
  "patch": bounds.whole(1, 16),
  "norm_groups": bounds.whole(1, 8192),
  "middle_attention": _FLAG,
  "pool": bounds.optional(bounds.name_of(*POOLS)),
}


@dataclasses.dataclass(frozen=True)
class UNetConfig:
  """A guided-diffusion U-Net (`pool is None`) or its encoder half with a classification head (`pool` in `POOLS`).

  attention_ds: downsampling factors, relative to the stem's resolution, whose blocks attend.
  patch: side of the space-to-depth stem; 1 for every OpenAI model, 2 for the compact embedded prior.
  norm_groups: groups of every GroupNorm; 32 for every OpenAI model.
  middle_attention: whether the middle block attends; true for every OpenAI model.
  """

  image_size: int
  model_channels: int
  out_channels: int
  num_res_blocks: int
  attention_ds: tuple[int, ...]
  channel_mult: tuple[float, ...]
  in_channels: int = 3
  num_classes: int | None = None
  num_heads: int = 1
  num_head_channels: int = -1
  num_heads_upsample: int = -1
  use_scale_shift_norm: bool = True
  resblock_updown: bool = True
  use_new_attention_order: bool = False
  super_resolution: bool = False
  dropout: float = 0.0
  patch: int = 1
  norm_groups: int = 32
  middle_attention: bool = True
  pool: str | None = None

  def __post_init__(self):
    object.__setattr__(self, "attention_ds", tuple(self.attention_ds))
    object.__setattr__(self, "channel_mult", tuple(self.channel_mult))
    if self.pool is not None and self.pool not in POOLS:
      raise ValueError(f"pool: expected one of {POOLS} or None, found {self.pool!r}")
    for mult in self.channel_mult:
      if int(mult * self.model_channels) % self.norm_groups:
        raise ValueError(
          f"channel_mult {mult} x model_channels {self.model_channels} is not a multiple of norm_groups "
          f"{self.norm_groups}"
        )

  @property
  def size_multiple(self) -> int:
    """Heights and widths that the network takes without padding are multiples of this."""
    return self.patch * 2 ** (len(self.channel_mult) - 1)

  @property
  def learn_sigma(self) -> bool:
    """Whether the output carries variance channels behind the noise channels."""
    return self.pool is None and self.out_channels == 2 * self.image_channels

  @property
  def image_channels(self) -> int:
    """Channels of the images that the diffusion process runs on."""
    return self.in_channels

  @property
  def blocks(self) -> int:
    """Residual blocks, those that change the resolution left out."""
    levels, decoder = len(self.channel_mult), self.pool is None
    return levels * self.num_res_blocks + 2 + decoder * levels * (self.num_res_blocks + 1)

  def to_dict(self) -> dict[str, Any]:
    return dataclasses.asdict(self)

  @classmethod
  def from_dict(cls, fields: dict[str, Any]) -> "UNetConfig":
    """Inverse of `to_dict`. Raises ValueError for unknown or missing fields, and for values out of all proportion."""
    bounds.require_fields(cls, fields, _RULES)
    config = cls(**fields)
    if config.blocks > bounds.MOST_BLOCKS:
      raise ValueError(f"expected at most {bounds.MOST_BLOCKS} residual blocks, found {config.blocks}")
    return config


def _attention_factors(image_size: int, attention_resolutions: str) -> tuple[int, ...]:
  return tuple(image_size // int(resolution) for resolution in str(attention_resolutions).split(","))


def _multipliers(image_size: int, channel_mult: str) -> tuple[float, ...]:
  if channel_mult:
    return tuple(int(mult) for mult in str(channel_mult).split(","))  # a single one was read as a number
  if image_size not in _DIFFUSION_MULT:
    raise ValueError(f"image_size {image_size} has no default channel_mult; give one, such as '1,2,4'")
  return _DIFFUSION_MULT[image_size]


def diffusion_config(
  *,
  image_size: int,
  num_channels: int,
  num_res_blocks: int,
  channel_mult: str = "",
  learn_sigma: bool = False,
  class_cond: bool = False,
  attention_resolutions: str = "16,8",
  num_heads: int = 4,
  num_head_channels: int = -1,
  num_heads_upsample: int = -1,
  use_scale_shift_norm: bool = True,
  dropout: float = 0.0,
  resblock_updown: bool = False,
  use_new_attention_order: bool = False,
  num_classes: int = 1000,
) -> UNetConfig:
  """The U-Net of guided-diffusion's `image_sample.py` flags of the same names."""
  return UNetConfig(
    image_size=image_size,
    model_channels=num_channels,
    out_channels=6 if learn_sigma else 3,
    num_res_blocks=num_res_blocks,
    attention_ds=_attention_factors(image_size, attention_resolutions),
    channel_mult=_multipliers(image_size, channel_mult),
    num_classes=num_classes if class_cond else None,
    num_heads=num_heads,
    num_head_channels=num_head_channels,
    num_heads_upsample=num_heads_upsample,
    use_scale_shift_norm=use_scale_shift_norm,
    resblock_updown=resblock_updown,
    use_new_attention_order=use_new_attention_order,
    dropout=dropout,
  )


def super_resolution_config(*, large_size: int, **flags) -> UNetConfig:
  """The U-Net of guided-diffusion's `super_res_sample.py` flags; the low-resolution image enters as extra channels."""
  if "channel_mult" not in flags:
    # The upsamplers' table has no row of its own for 512 and 256 in a small first level.
    flags["channel_mult"] = {512: "1,1,2,2,4,4", 256: "1,1,2,2,4,4", 64: "1,2,3,4"}.get(large_size, "")
  config = diffusion_config(image_size=large_size, **flags)
  return dataclasses.replace(config, super_resolution=True)


def classifier_config(
  *,
  image_size: int,
  classifier_width: int = 128,
  classifier_depth: int = 2,
  classifier_attention_resolutions: str = "32,16,8",
  classifier_use_scale_shift_norm: bool = True,
  classifier_resblock_updown: bool = True,
  classifier_pool: str = "attention",
  out_channels: int = 1000,
) -> UNetConfig:
  """The noisy classifier of guided-diffusion's `classifier_sample.py` flags."""
  return UNetConfig(
    image_size=image_size,
    model_channels=classifier_width,
    out_channels=out_channels,
    num_res_blocks=classifier_depth,
    attention_ds=_attention_factors(image_size, classifier_attention_resolutions),
    channel_mult=_multipliers(image_size, ""),
    num_head_channels=64,
    use_scale_shift_norm=classifier_use_scale_shift_norm,
    resblock_updown=classifier_resblock_updown,
    pool=classifier_pool,
  )
