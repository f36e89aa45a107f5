"""What did the user ask for? Reads the flags, once, and hands plain arguments to a job.

  python launch.py --flagfile=vif.flags --data=FOLDER --out=FOLDER      fuse every pair of a folder
  python launch.py --job=evaluate --suite=prior --data=FOLDER           denoising PSNR of a prior
  python launch.py --job=benchmark --data=FOLDER                        methods and baselines, scored
  python launch.py --flagfile=train.flags --data=FOLDER --out=FOLDER    train a prior

Exit status: 0 all done, 2 bad input (one line says what and how to mend it), 3 some pairs failed.
"""

import dataclasses
import os
import sys
from pathlib import Path

import jax
from absl import app, flags, logging

from dig2dig_jax.checkpoint import EMBEDDED
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import benchmark, evaluate_prior, fuse, train
from dig2dig_jax.methods.base import Codec, luminance_codec, rgb_codec
from dig2dig_jax.methods.dig2dig import Dig2DigOptions, dig2dig
from dig2dig_jax.prior import Prior, load_prior
from dig2dig_jax.training.data import CropConfig
from dig2dig_jax.training.step import StepConfig

_JOBS = ("fuse", "evaluate", "benchmark", "train")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dig2dig_jax" / "programs"

# Input and output.
JOB = flags.DEFINE_enum("job", "fuse", _JOBS, "What to do.")
DATA = flags.DEFINE_string("data", None, "Folder of images; for pairs, one sub-folder per source.")
EXAMPLES = flags.DEFINE_string("examples", None, "fuse: folder of pairs to take when --data is not given.")
OUT = flags.DEFINE_string("out", "out", "Folder for results.")
SOURCES = flags.DEFINE_list("sources", "ir,vi", "Names of the sources, which are sub-folders of --data. Two or more.")
PRIOR = flags.DEFINE_string("prior", None, "Checkpoint folder of the diffusion prior; the embedded one by default.")
BIT_DEPTH = flags.DEFINE_integer("bit_depth", 8, "Of the fused PNGs: 8, 16, or 0 for the deepest source's.")
COLOUR = flags.DEFINE_enum("colour", "luminance", ["luminance", "rgb"], "What is fused: luminance, or all of RGB.")
CHROMA_FROM = flags.DEFINE_string("chroma_from", None, "Source whose chroma goes onto fused luminance; default: last.")
SHEET = flags.DEFINE_bool("sheet", True, "Write a contact sheet of the first pairs.")
MAPS = flags.DEFINE_bool("maps", False, "Write the weight maps as PNG.")

# The method. Defaults are the paper's; flag files hold the tuned ones.
METHOD = flags.DEFINE_enum("method", "dig2dig", ["dig2dig"], "Fusion method.")
STEPS = flags.DEFINE_integer("steps", 25, "Reverse steps (train: optimiser steps); 0 fuses without a diffusion loop.")
SPACING = flags.DEFINE_string("spacing", "uniform", "uniform, quadratic, logsnr, ddim, or counts per section.")
TRANSITION = flags.DEFINE_string("transition", "ddim", "ddim, ancestral or dpm_solver_pp_2m.")
ETA = flags.DEFINE_float("eta", 0.0, "Noise of DDIM, 0 to 1.")
VARIANCE = flags.DEFINE_string("variance", "fixed_small", "Of ancestral: learned_range, fixed_small, fixed_large.")
GUIDANCE = flags.DEFINE_string("guidance", "quadratic", "quadratic, or dps with the gradient through the network.")
STRENGTH = flags.DEFINE_float("strength", 1.0, "lambda; with --strength_schedule=likelihood the variance r^2.")
STRENGTH_SCHEDULE = flags.DEFINE_string("strength_schedule", "constant", "constant or likelihood.")
BANDS = flags.DEFINE_integer("bands", 1, "Levels of the Laplacian pyramid in which sources are blended; 1 per pixel.")
BASE = flags.DEFINE_string("base", "uniform", "Weights of the pyramid's coarsest band: uniform, dig, mean.")
WEIGHTS = flags.DEFINE_string("weights", "dig", "dig or uniform (fixed guidance).")
DIG_WINDOW = flags.DEFINE_string("dig_window", "interval", "Gains per interval of steps, or cumulative between bounds.")
DIG_INTERVAL = flags.DEFINE_integer("dig_interval", 10, "Steps between updates of the weights.")
DIG_T_HIGH = flags.DEFINE_integer("dig_t_high", 600, "Noisier bound of the cumulative gain, a timestep.")
DIG_T_LOW = flags.DEFINE_integer("dig_t_low", 20, "Cleaner bound of the cumulative gain, a timestep.")
DIG_DISTANCE = flags.DEFINE_string("dig_distance", "l2", "l2, l1 or ssim.")
DIG_TEMPERATURE = flags.DEFINE_float("dig_temperature", 1.0, "Of the softmax over gains.")
DIG_SMOOTHING = flags.DEFINE_float("dig_smoothing", 0.0, "Gaussian average of the gains, in pixels.")
DIG_NORMALISE = flags.DEFINE_string("dig_normalise", "none", "none, or mean_abs for scale-free gains.")
DIG_DRAWS = flags.DEFINE_integer("dig_draws", 1, "Noise draws averaged over.")
DIG_SHARED_NOISE = flags.DEFINE_bool("dig_shared_noise", True, "One noise image for all sources and levels of a draw.")
DIG_CHUNK = flags.DEFINE_integer("dig_chunk", 0, "Network calls per batch of the gains; 0 chooses.")

# The machine.
SEED = flags.DEFINE_integer("seed", 0, "Of all randomness.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Pairs (train: crops) per compiled call.")
BUCKET = flags.DEFINE_integer("bucket", 128, "Sides are mirrored up to multiples of this: fewer programs to compile.")
DTYPE = flags.DEFINE_string("dtype", "float32", "Of the network's torso: float32, bfloat16, float16.")
PRECISION = flags.DEFINE_string("matmul_precision", "default", "JAX's default_matmul_precision.")
CACHE = flags.DEFINE_string("compile_cache", str(_CACHE), "Folder of compiled programs; empty for none.")

# Evaluation and training.
SUITE = flags.DEFINE_enum("suite", "prior", ["prior"], "evaluate: what to measure.")
LIMIT = flags.DEFINE_integer("limit", 0, "evaluate, benchmark: first images or pairs only; 0 takes all.")
LEARNING_RATE = flags.DEFINE_float("learning_rate", 5e-4, "train: peak of the schedule.")
CROP_SIZE = flags.DEFINE_integer("crop_size", 64, "train: side of a crop in pixels.")
SAVE_EVERY = flags.DEFINE_integer("save_every", 500, "train: steps between checkpoints.")
RESUME = flags.DEFINE_bool("resume", False, "train: go on from the last checkpoint in --out.")


def _method_options() -> Dig2DigOptions:
  return Dig2DigOptions(
    steps=STEPS.value,
    spacing=SPACING.value,
    transition=TRANSITION.value,
    eta=ETA.value,
    variance=VARIANCE.value,
    guidance=GUIDANCE.value,
    strength=STRENGTH.value,
    strength_schedule=STRENGTH_SCHEDULE.value,
    bands=BANDS.value,
    base=BASE.value,
    weights=WEIGHTS.value,
    window=DIG_WINDOW.value,
    interval=DIG_INTERVAL.value,
    t_high=DIG_T_HIGH.value,
    t_low=DIG_T_LOW.value,
    distance=DIG_DISTANCE.value,
    temperature=DIG_TEMPERATURE.value,
    smoothing=DIG_SMOOTHING.value,
    normalise=DIG_NORMALISE.value,
    draws=DIG_DRAWS.value,
    shared_noise=DIG_SHARED_NOISE.value,
    chunk=DIG_CHUNK.value,
  )


def _data() -> Path:
  if DATA.value:
    return Path(DATA.value)
  if JOB.value == "fuse" and EXAMPLES.value:
    print(f"note: no --data, so the bundled examples in {EXAMPLES.value} are fused", file=sys.stderr)
    return Path(__file__).resolve().parent / EXAMPLES.value
  raise UserError("--data: expected a folder, found nothing; add --data=FOLDER")


def _prior() -> Prior:
  return load_prior(Path(PRIOR.value) if PRIOR.value else EMBEDDED, dtype=DTYPE.value)


def _codec() -> Codec:
  if COLOUR.value == "rgb":
    return rgb_codec()
  chroma = CHROMA_FROM.value or SOURCES.value[-1]
  if chroma not in SOURCES.value:
    raise UserError(f"--chroma_from={chroma}: expected one of --sources={','.join(SOURCES.value)}")
  return luminance_codec(SOURCES.value.index(chroma))


def _fuse_config() -> fuse.FuseConfig:
  if BATCH_SIZE.value < 1 or BUCKET.value < 1:
    raise UserError("--batch_size and --bucket: expected at least 1")
  return fuse.FuseConfig(
    data=_data(),
    out=Path(OUT.value),
    sources=tuple(SOURCES.value),
    seed=SEED.value,
    batch_size=BATCH_SIZE.value,
    bucket=BUCKET.value,
    bit_depth=BIT_DEPTH.value,
    sheet=SHEET.value,
    maps=MAPS.value,
  )


def _fuse() -> int:
  config, options, codec = _fuse_config(), _method_options(), _codec()
  prior = _prior()
  method = dig2dig(prior.denoiser, codec, noise=prior.noise, options=options)
  settings = {
    "method": METHOD.value,
    "options": dataclasses.asdict(options),
    "colour": COLOUR.value,
    "prior": str(prior.directory),
    "dtype": DTYPE.value,
    "batch_size": BATCH_SIZE.value,
    "bucket": BUCKET.value,
  }
  report = fuse.run(dataclasses.replace(config, settings=settings), method, prior.params)
  for line in report.left_out:
    print(f"note: {line}", file=sys.stderr)
  for line in report.failed:
    print(f"failed: {line}", file=sys.stderr)
  print(f"{report.summary()}; results in {config.out}")
  return 3 if report.failed else 0


def _evaluate() -> int:
  print(evaluate_prior.run(_prior(), _data(), Path(OUT.value), limit=LIMIT.value, seed=SEED.value))
  return 0


def _benchmark() -> int:
  print(benchmark.run(_prior(), _codec(), _fuse_config(), _method_options(), limit=LIMIT.value))
  return 0


def _train() -> int:
  config = train.TrainConfig(
    data=_data(),
    out=Path(OUT.value),
    crop=CropConfig(size=CROP_SIZE.value),
    step=StepConfig(learning_rate=LEARNING_RATE.value, total_steps=STEPS.value),
    batch_size=BATCH_SIZE.value,
    dtype=DTYPE.value,
    seed=SEED.value,
    save_every=SAVE_EVERY.value,
    resume=RESUME.value,
  )
  print(f"prior written to {train.train(config)}")
  return 0


def parse(argv) -> list[str]:
  """Reads the flags; a bad one ends the process with status 2 and one line. Libraries speak from WARNING up."""
  try:
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    print(f"error: {' '.join(str(error).split())}; see --help", file=sys.stderr)
    sys.exit(2)
  except SystemExit:  # absl ends --help with 1, but who asks for help and gets it has met no error
    sys.exit(0)
  if flags.FLAGS["verbosity"].using_default_value:
    flags.FLAGS.verbosity = logging.WARNING  # absl's own is INFO: JAX would tell of every kind of device it misses
  return rest


def main(argv) -> int:
  if len(argv) > 1:
    print(f"error: unexpected arguments {argv[1:]}; flags look like --data=FOLDER", file=sys.stderr)
    return 2
  if PRECISION.value != "default":
    jax.config.update("jax_default_matmul_precision", PRECISION.value)
  if CACHE.value:
    jax.config.update("jax_compilation_cache_dir", CACHE.value)
  try:
    return {"fuse": _fuse, "evaluate": _evaluate, "benchmark": _benchmark, "train": _train}[JOB.value]()
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
  app.run(main, flags_parser=parse)
