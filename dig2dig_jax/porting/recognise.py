"""Which network has these tensors? A configuration from names and shapes, or from what the user says of it.

Names and shapes do not tell the number of attention heads, the order of their channels, the image size or the noise
schedule. So only what is exactly one released network is taken for it; everything else has to be said.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from dig2dig_jax.errors import UserError
from dig2dig_jax.models.config import UNetConfig, classifier_config, diffusion_config, super_resolution_config
from dig2dig_jax.models.official import OFFICIAL, Official
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.porting.torch_tree import ConversionError, convert_shapes
from dig2dig_jax.sampling.schedule import BETAS

_KINDS = {
  "diffusion": diffusion_config, "super_resolution": super_resolution_config, "classifier": classifier_config
}  # fmt: skip
Shapes = Mapping[str, tuple[int, ...]]


def detect(shapes: Shapes, *, source: str) -> tuple[Official, str]:
  """(the released network that has exactly these tensors, a sentence that says what was inferred).

  Released checkpoints that differ in training alone count as one. Raises ConversionError where none fits, or several.
  """
  fitting = [official for official in OFFICIAL.values()
             if _begins(shapes, official.config) and _fits(shapes, official.config, source)]  # fmt: skip
  networks = {(dataclasses.replace(official.config, dropout=0.0), official.schedule) for official in fitting}
  if not fitting:
    raise ConversionError(
      f"{source}: expected a released network, found {describe(shapes)}, which is not one of them; describe it with "
      "--config=FILE.json or --config=image_size=64,num_channels=128,... (the flags of guided-diffusion)"
    )
  names = ", ".join(official.name for official in fitting)
  if len(networks) > 1:
    raise ConversionError(f"{source}: its tensors are those of {names}; select one with --name")
  words = "one network under several names" if len(fitting) > 1 else "a released network"
  return fitting[0], f"{describe(shapes)}: {words}, {names}; schedule {fitting[0].schedule}"


def _begins(shapes: Shapes, config: UNetConfig) -> bool:
  """Whether the first convolution is of that network. To know all parameters of a large one takes a second."""
  return tuple(shapes.get("input_blocks.0.0.weight", ()))[:1] == (int(config.channel_mult[0] * config.model_channels),)


def _fits(shapes: Shapes, config: UNetConfig, source: str) -> bool:
  try:
    convert_shapes(shapes.items(), parameter_shapes(config), source=source)
  except ConversionError:
    return False
  return True


def configured(text: str) -> tuple[UNetConfig, str]:
  """(network, schedule) of `--config`: a JSON file, or key=value pairs, of guided-diffusion's flags.

  `kind` is diffusion (the default), super_resolution or classifier; `noise_schedule` linear (the default), cosine, flow
  or edm. Raises UserError for what is no such flag.
  """
  fields = _json_fields(Path(text)) if text.endswith(".json") else dict(_pair(item) for item in text.split(","))
  kind, schedule = fields.pop("kind", "diffusion"), fields.pop("noise_schedule", "linear")
  if kind not in _KINDS or schedule not in BETAS:
    raise UserError(
      f"--config: expected kind among {', '.join(_KINDS)} and noise_schedule among {', '.join(BETAS)}, "
      f"found {kind!r} and {schedule!r}"
    )
  try:
    return _KINDS[kind](**fields), schedule
  except (TypeError, ValueError) as error:
    raise UserError(f"--config={text}: expected guided-diffusion's flags of a {kind} model, found {error}") from error


def _json_fields(path: Path) -> dict:
  try:
    fields = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise UserError(f"--config={path}: expected a JSON file, found {error}") from error
  if not isinstance(fields, dict):
    raise UserError(f"--config={path}: expected a JSON object of flags, found a {type(fields).__name__}")
  return fields


def _pair(item: str) -> tuple[str, object]:
  name, equals, value = item.partition("=")
  if not equals:
    raise UserError(f"--config: expected name=value pairs, found {item!r}")
  # Lists of numbers stay text, as guided-diffusion's own flags do: attention_resolutions=16;8 for "16,8".
  value = value.replace(";", ",")
  try:
    return name.strip(), json.loads(value.lower() if value in ("True", "False") else value)
  except ValueError:
    return name.strip(), value


def describe(shapes: Shapes) -> str:
  """What kind of network has tensors of these names and shapes, in words, for messages."""
  stem = shapes.get("input_blocks.0.0.weight", ())
  if len(stem) != 4:
    return "no guided-diffusion network"
  if any(name.startswith("output_blocks.") for name in shapes):
    kind = "an upsampler" if stem[1] == 6 else "a diffusion model"
  else:
    kind = "a classifier"
  blocks = len({name.split(".")[1] for name in shapes if name.startswith("input_blocks.")})
  return _words(kind, "label_emb.weight" in shapes, stem[0], blocks)


def describe_config(config: UNetConfig) -> str:
  """The same words for a configuration."""
  kind = "a classifier" if config.pool else "an upsampler" if config.super_resolution else "a diffusion model"
  blocks = len(config.channel_mult) * (config.num_res_blocks + 1)
  return _words(kind, config.num_classes is not None, int(config.channel_mult[0] * config.model_channels), blocks)


def _words(kind: str, conditional: bool, width: int, blocks: int) -> str:
  return f"{kind} ({'with' if conditional else 'without'} classes, first width {width}, {blocks} input blocks)"
