"""What do several jobs read of the flags? The data, what is done to it, and what `cli.method` reads."""

import shlex
import sys
from pathlib import Path

from dig2dig_jax.alignment import stored
from dig2dig_jax.alignment.aligner import Aligner
from dig2dig_jax.alignment.frames import Frames
from dig2dig_jax.assets import DRFUSION, ROOT
from dig2dig_jax.cli import flags
from dig2dig_jax.cli.method import codec, integer, method_options, number_of, prior, whole
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.data import guess, overlay, palette, ranges
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import folders, lpips
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.methods.options import Dig2DigOptions
from dig2dig_jax.priors.prior import DrFusionNetwork, Prior, load_drfusion
from dig2dig_jax.priors.swift import Swift
from dig2dig_jax.restoration import degradation
from dig2dig_jax.restoration.blind_restorer import BlindRestorer
from dig2dig_jax.restoration.restorer import Restorer
from dig2dig_jax.stores.address import redacted, typed_place

__all__ = ["codec", "integer", "method_options", "prior", "whole"]  # of cli.method, for the jobs


def data() -> Path:
  if flags.DATA.value:
    return typed_place(flags.DATA.value)
  if flags.JOB.value == "fuse" and flags.EXAMPLES.value:
    note(f"note: no --data, so the bundled examples in {flags.EXAMPLES.value} are fused")
    return ROOT / flags.EXAMPLES.value
  raise UserError("--data: expected a folder, found nothing; add --data=FOLDER")


def data_config() -> DataConfig:
  """Which pairs: of --data or --manifest, the same for every job."""
  return DataConfig(
    data=Path() if flags.MANIFEST.value else data(),
    sources=tuple(flags.SOURCES.value),
    dataset=flags.DATASET.value,
    split=flags.SPLIT.value,
    manifest=typed_place(flags.MANIFEST.value) if flags.MANIFEST.value else None,
    ranges=ranges.parse(flags.RANGE.value, flags.SOURCES.value),
    valid=flags.VALID.value,
    frames=frames(),
  )


def frames() -> Aligner | Frames:
  """Of --align and --transforms, or, without, of --resize."""
  model, file = flags.ALIGN.value, flags.TRANSFORMS.value
  if flags.REFERENCE.value:
    number_of("reference", flags.REFERENCE.value)
  named = guess.by_names(flags.SOURCES.value)  # for jobs that are not told which source is the infrared one
  thermal = flags.SOURCES.value[named.order[0]] if named is not None and named.task == "thermal" else ""
  last = flags.OPTIONS["functional"].value or thermal
  if model == "off" and not file:
    return Frames(flags.RESIZE_BY.value, flags.REFERENCE.value, last)
  if model != "off" and file:
    raise UserError(f"--align={model}: expected no --transforms with it, which are applied unchanged; leave one out")
  if flags.DEGRADATION.value:
    raise UserError("--degradation: expected registered sources, found --align or --transforms; leave "
                    "one out")
  known = stored.read(Path(file)) if file else None
  return Aligner(model, flags.ALIGN_OR.value, flags.REFERENCE.value, last, known)


def degradations() -> dict[str, degradation.Degradation]:
  return degradation.parse(flags.DEGRADATION.value, flags.SIGMA.value, flags.SOURCES.value)


def restorer(prior: Prior | DrFusionNetwork, options) -> Restorer | BlindRestorer | None:
  given = degradations()
  if all(one.clean for one in given.values()):
    asked = flags.DEGRADATION.value or flags.SIGMA.value
    finds = isinstance(options, Dig2DigOptions) and options.bandwise and options.restore == "auto"
    return blind_restorer_of(prior) if finds and not asked else None
  if isinstance(prior, DrFusionNetwork):
    raise UserError("--degradation, --sigma: DRFusion's network restores the degradations on which it was "
                    "trained; leave them out")
  return Restorer(_whole(prior), given, steps=flags.RESTORE_STEPS.value, seed=flags.SEED.value)


def blind_restorer_of(prior: Prior) -> BlindRestorer:
  options = {"steps": flags.RESTORE_STEPS.value, "seed": flags.SEED.value, "bucket": flags.BUCKET.value}
  return BlindRestorer(_whole(prior), **options)


def _whole(prior: Prior) -> Prior:
  """What restores more than noise, by several evaluations."""
  return prior.whole if isinstance(prior, Swift) and prior.whole is not None else prior


def network_prior() -> Prior | DrFusionNetwork:
  """What --method runs on."""
  if flags.METHOD.value == "drfusion":
    return load_drfusion(Path(flags.PRIOR.value) if flags.PRIOR.value else DRFUSION, dtype=flags.DTYPE.value)
  return prior()


def say_notes(options) -> None:
  """What a method's options have to say about themselves."""
  for line in getattr(options, "notes", tuple)():
    note(f"note: {line}")


def pixel_settings() -> dict:
  """What decides pixels beside the method's options, its data and its weights."""
  return {
    "colour": flags.COLOUR.value,
    "chroma_from": flags.CHROMA_FROM.value or flags.SOURCES.value[-1],
    "stretch": flags.STRETCH.value,
    "class_label": flags.CLASS_LABEL.value,
    "dtype": flags.DTYPE.value,
    "matmul_precision": flags.PRECISION.value,
  }


def network_settings(prior: Prior | DrFusionNetwork) -> dict:
  """What decides pixels and neither the prior's weights nor another flag says; nothing for most."""
  if isinstance(prior, DrFusionNetwork):
    return {}
  kernels = {} if prior.kernels == "off" else {"kernels": prior.kernels}
  if prior.parametrisation.name == "eps":
    return kernels
  return {"parametrisation": prior.parametrisation.to_dict(), "schedule": prior.noise.name, **kernels}


def fuse_config() -> FuseConfig:
  if flags.BATCH_SIZE.value < 1 and flags.JOB.value != "fuse":
    raise UserError("--batch_size=0: expected at least 1; only --job=fuse chooses automatically")
  tile = flags.TILE.value
  if tile and flags.OVERLAP.value > tile // 2:
    raise UserError(f"--overlap={flags.OVERLAP.value}: expected 0 to half of --tile")
  fuses = flags.JOB.value == "fuse"
  functional = flags.OPTIONS["functional"].value
  thermal = [name for name in flags.SOURCES.value if name.casefold() in guess.NAMES["thermal"][0]]
  looked_for = palette.parse(flags.PALETTE.value, flags.SOURCES.value, [functional] if functional else thermal)
  last = functional or flags.CHROMA_FROM.value or flags.SOURCES.value[-1]
  return FuseConfig(
    **vars(data_config()) | {"palettes": looked_for if fuses else {}},
    colormap=overlay.parse(flags.COLORMAP.value, flags.SOURCES.value, last) if fuses else None,
    out=typed_place(flags.OUT.value),
    seed=flags.SEED.value,
    batch_size=flags.BATCH_SIZE.value,
    bucket=flags.BUCKET.value,
    tile=tile,
    overlap=flags.OVERLAP.value,
    shard_image=flags.SHARD_IMAGE.value and fuses,
    overwrite=flags.OVERWRITE.value,
    only=flags.ONLY.value or "",
    bit_depth=flags.BIT_DEPTH.value,
    described_by=flags.CHROMA_FROM.value or flags.SOURCES.value[-1],
    sheet=flags.SHEET.value,
    looks=fuses and not flags.ALIGN.present and not flags.TRANSFORMS.value,
    results=flags.RESULTS_IN.value,
    shard=flags.SHARD.value,
    maps=flags.MAPS.value,
    temperatures=flags.TEMPERATURES.value,
    program_cache=Path(flags.CACHE.value) if flags.CACHE.value else None,
  )


def command() -> str:
  """What was typed, as it may be typed again; without what an address should not tell."""
  words = list(map(redacted, sys.argv[1:]))
  program = Path(sys.argv[0])
  if program.name == "dig2dig" or program.name == "__main__.py" and program.parent.name == "dig2dig_jax":
    return shlex.join(["dig2dig", *words])
  return shlex.join(["python", redacted(sys.argv[0]), *words])


def finish(found, text: str) -> int:
  """Prints a job's report, `left_out`, `notes` and `failed` among it; the exit status."""
  for line in (*found.left_out, *getattr(found, "notes", ())):
    note(f"note: {line}")
  for line in found.failed:
    note(f"failed: {line}")
  say(text)
  return 3 if found.failed else 0


def fused_arguments() -> tuple[dict[str, Path], DataConfig, dict]:
  arguments = {"protocol": one_protocol(), "baselines": flags.BASELINES.value, "limit": flags.LIMIT.value}
  arguments["lpips"] = lpips.load(Path(flags.LPIPS.value)) if flags.LPIPS.value else None
  return folders.named(flags.FUSED.value or []), data_config(), arguments


def one_protocol() -> str:
  names = flags.PROTOCOL.value or ["panel"]
  if len(names) != 1:
    job = flags.JOB.value
    raise UserError(f"--protocol={','.join(names)}: expected one name for --job={job}; run it once for each")
  return names[0]
