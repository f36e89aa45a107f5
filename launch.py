"""What did the user ask for? Reads the flags, once, and hands plain arguments to a job.

  python launch.py --flagfile=vif.flags --data=FOLDER --out=FOLDER      fuse every pair of a folder
  python launch.py --job=evaluate --data=FOLDER --fused=FOLDER,FOLDER   scores of fused images, of any program
  python launch.py --job=report --data=FOLDER --fused=FOLDER,FOLDER     the same, as a page with pictures
  python launch.py --job=evaluate --suite=prior --data=FOLDER           denoising PSNR of a prior
  python launch.py --job=benchmark --data=FOLDER                        methods and baselines, scored
  python launch.py --flagfile=train.flags --data=FOLDER --out=FOLDER    train a prior

Exit status: 0 all done, 2 bad input (one line says what and how to mend it), 3 some pairs failed.
"""

import dataclasses
import os
import shlex
import sys
from pathlib import Path

import jax
from absl import app, flags, logging

from convert.detect import configured
from convert.official import OFFICIAL
from convert.peer import DdfmPeer
from dig2dig_jax.checkpoint import EMBEDDED
from dig2dig_jax.data.readers import READERS
from dig2dig_jax.errors import UserError
from dig2dig_jax.jobs import (
  benchmark,
  degradation,
  degraded,
  detect,
  evaluate_fused,
  evaluate_prior,
  fuse,
  fused_folders,
  gain_figures,
  lpips,
  metric_speed,
  processes,
  report,
  sample_prior,
  speed,
  theory,
  train,
  train_config,
)
from dig2dig_jax.jobs.ablations import TABLES
from dig2dig_jax.jobs.detector import LAYOUTS, Detector
from dig2dig_jax.jobs.restorer import Restorer
from dig2dig_jax.methods.base import Codec, luminance_codec, rgb_codec
from dig2dig_jax.methods.dig2dig import Dig2DigOptions
from dig2dig_jax.methods.drfusion import DrFusionOptions
from dig2dig_jax.methods.options import MethodOptions
from dig2dig_jax.methods.registry import METHODS, make_method
from dig2dig_jax.metrics import PROTOCOLS
from dig2dig_jax.models.drfusion_unet import DrFusionConfig
from dig2dig_jax.models.shapes import NetworkConfig
from dig2dig_jax.prior import DRFUSION, DrFusionNetwork, Prior, load_drfusion, load_prior, random_prior
from dig2dig_jax.training.data import CropConfig
from dig2dig_jax.training.degraded_pairs import FAMILIES, DegradedConfig
from dig2dig_jax.training.step import StepConfig

_JOBS = ("fuse", "evaluate", "report", "benchmark", "train")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dig2dig_jax" / "programs"

# Input and output.
JOB = flags.DEFINE_enum("job", "fuse", _JOBS, "What to do.")
DATA = flags.DEFINE_string("data", None, "Folder of images; for pairs, one sub-folder per source, or see --dataset.")
DATASET = flags.DEFINE_enum("dataset", "folders", list(READERS), "Layout of --data: of which published data set.")
SPLIT = flags.DEFINE_string("split", None, "Part of a --dataset by name (train, test), or a file of names, one a line.")
MANIFEST = flags.DEFINE_string("manifest", None, "File of pairs as --list prints it, in place of --data.")
LIST = flags.DEFINE_bool("list", False, "fuse: print the pairs, a JSON line each, and run nothing.")
EXAMPLES = flags.DEFINE_string("examples", None, "fuse: folder of pairs to take when --data is not given.")
OUT = flags.DEFINE_string("out", "out", "Folder for results.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "fuse: write over results of other flags, weights or sources.")
SOURCES = flags.DEFINE_list("sources", "ir,vi", "Names of the sources, which are sub-folders of --data. Two or more.")
PRIOR = flags.DEFINE_string("prior", None, "Checkpoint folder of the diffusion prior; the embedded one by default.")
CLASS_LABEL = flags.DEFINE_integer("class_label", None, "Class that a class-conditional prior is asked for.")
BIT_DEPTH = flags.DEFINE_integer("bit_depth", 8, "Of the fused PNGs: 8, 16, or 0 for the deepest source's.")
COLOUR = flags.DEFINE_enum("colour", "luminance", ["luminance", "rgb"], "What is fused: luminance, or all of RGB.")
CHROMA_FROM = flags.DEFINE_string("chroma_from", None, "Source whose chroma goes onto fused luminance; default: last.")
STRETCH = flags.DEFINE_bool("stretch", False, "Stretch fused images to the full range, as released DDFM and CCF do.")
SHEET = flags.DEFINE_bool("sheet", True, "Write a contact sheet of the first pairs.")
MAPS = flags.DEFINE_bool("maps", False, "Write the weight maps, and CCF's selected conditions, as PNG.")

# The method. Without a flag, the method's own paper decides; flag files hold the tuned values.
METHOD = flags.DEFINE_enum("method", "dig2dig", list(METHODS), "Fusion method.")
STEPS = flags.DEFINE_integer("steps", None, "Reverse steps (train: optimiser steps); 0: Dig2DIG without the loop.")
_OPTIONS = {  # name of the option -> its flag
  "steps": STEPS,
  "spacing": flags.DEFINE_string("spacing", None, "uniform, quadratic, logsnr, ddim, or counts per section."),
  "transition": flags.DEFINE_string("transition", None, "ddim, ancestral or dpm_solver_pp_2m."),
  "eta": flags.DEFINE_float("eta", None, "Noise of DDIM, 0 to 1."),
  "variance": flags.DEFINE_string("variance", None, "Of ancestral: learned_range, fixed_small, fixed_large."),
  "weights": flags.DEFINE_string("weights", None, "dig or uniform (fixed guidance)."),
  "window": flags.DEFINE_string("dig_window", None, "Gains per interval of steps, or cumulative between bounds."),
  "interval": flags.DEFINE_integer("dig_interval", None, "Steps between updates of the weights."),
  "t_high": flags.DEFINE_integer("dig_t_high", None, "Noisier bound of the cumulative gain, a timestep."),
  "t_low": flags.DEFINE_integer("dig_t_low", None, "Cleaner bound of the cumulative gain, a timestep."),
  "distance": flags.DEFINE_string("dig_distance", None, "l2, l1 or ssim."),
  "temperature": flags.DEFINE_float("dig_temperature", None, "Of the softmax over gains."),
  "smoothing": flags.DEFINE_float("dig_smoothing", None, "Gaussian average of the gains, in pixels."),
  "normalise": flags.DEFINE_string("dig_normalise", None, "none, or mean_abs for scale-free gains."),
  "draws": flags.DEFINE_integer("dig_draws", None, "Noise draws averaged over."),
  "shared_noise": flags.DEFINE_bool("dig_shared_noise", None, "One noise image for all sources and levels of a draw."),
  "chunk": flags.DEFINE_integer("dig_chunk", None, "Network calls per batch of the gains; 0 chooses."),
  "guidance": flags.DEFINE_string("guidance", None, "dig2dig: quadratic, or dps with the network's gradient."),
  "strength": flags.DEFINE_float("strength", None, "dig2dig: lambda; of the likelihood schedule the variance r^2."),
  "strength_schedule": flags.DEFINE_string("strength_schedule", None, "dig2dig: constant or likelihood."),
  "bands": flags.DEFINE_integer("bands", None, "dig2dig: levels of the pyramid of the blend; 1: pixels."),
  "base": flags.DEFINE_string("base", None, "dig2dig: weights of the coarsest band: uniform, dig, mean, brightest."),
  "em_lambda": flags.DEFINE_float("em_lambda", None, "ddfm: lambda, weight of the total variation's splitting."),
  "em_rho": flags.DEFINE_float("em_rho", None, "ddfm: rho, of the same."),
  "em_colour": flags.DEFINE_string("em_colour", None, "ddfm: corrected, or released for the script's YCbCr scale."),
  "em_roles": flags.DEFINE_string("em_roles", None, "ddfm: paper, or released for the script's swapped sources."),
  "conditions": flags.DEFINE_list("conditions", None, "ccf: names of the conditions to select from."),
  "top_k": flags.DEFINE_integer("ccf_top_k", None, "ccf: conditions that act at a step."),
  "rate": flags.DEFINE_float("ccf_rate", None, "ccf: rate of Adam on the image."),
  "sigma_y": flags.DEFINE_float("drfusion_sigma_y", None, "drfusion: noise that its corrections assume, of [0, 1]."),
}

# Degraded sources: restored with the prior before they are fused. docs/degraded.md.
DEGRADATION = flags.DEFINE_string("degradation", "", f"SOURCE:STAGES,...: {degradation.STAGES_HELP}.")
SIGMA = flags.DEFINE_string("sigma", "", "SOURCE:SIGMA,...: noise of each source, of 8-bit values, or auto.")
_OF_SOURCE = {  # the same for the usual names: --degradation_ir=..., --sigma_ir=...
  source: (
    flags.DEFINE_string(f"degradation_{source}", None, f"As --degradation={source}:..."),
    flags.DEFINE_string(f"sigma_{source}", None, f"As --sigma={source}:..."),
  )
  for source in ("ir", "vi")
}
RESTORE_STEPS = flags.DEFINE_integer("restore_steps", 8, "Evaluations per source that is more than noisy.")

# The machine.
SEED = flags.DEFINE_integer("seed", 0, "Of all randomness.")
BATCH_SIZE = flags.DEFINE_integer(
  "batch_size", 1, "fuse: most pairs per device and compiled call, 0 chooses; train: crops per step."
)
TILE = flags.DEFINE_integer(
  "tile", None, "fuse: side of the tiles in which the network is called, 0 for whole images; chosen by memory if unset."
)
OVERLAP = flags.DEFINE_integer("overlap", 128, "fuse: of neighbouring tiles, in pixels.")
BUCKET = flags.DEFINE_integer("bucket", 128, "Sides are mirrored up to multiples of this: fewer programs to compile.")
DTYPE = flags.DEFINE_string("dtype", "float32", "Of the network's torso: float32, bfloat16, float16.")
PRECISION = flags.DEFINE_string("matmul_precision", "default", "JAX's default_matmul_precision.")
CACHE = flags.DEFINE_string("compile_cache", str(_CACHE), "Folder of compiled programs; empty for none.")

# Evaluation and training.
SUITE = flags.DEFINE_enum(
  "suite", None, ["prior", "samples", "fused", "detection", "tables", "speed", "metrics", "theory", "degraded"],
  "evaluate: PSNR of a prior (the default), its samples, the scores of fused images (with --fused the default), or a "
  "detector's mean average precision on them; "
  "benchmark: tables of scores (the default), speed of fusion or of the metrics, the paper's bound on images whose "
  "ideal fusion is known (theory), or degraded sources.",
)  # fmt: skip
CASES = flags.DEFINE_list("cases", list(degraded.CASES), "benchmark --suite=degraded: degradations, by name.")
MIDDLE = flags.DEFINE_integer("middle", 0, "benchmark --suite=degraded: side of the square taken of pairs; 0: all.")
DRFUSION_PRIOR = flags.DEFINE_string("drfusion", None, "benchmark --suite=degraded: DRFusion checkpoint for its row.")
FUSED = flags.DEFINE_list("fused", None, "evaluate, report: folders of fused images, of any program, one per method.")
PROTOCOL = flags.DEFINE_list(
  "protocol", None, f"evaluate, report: one of {', '.join(PROTOCOLS)} (panel); benchmark: one or more (panel,common)."
)
BASELINES = flags.DEFINE_bool("baselines", True, "evaluate --fused, report: rows of trivial fusions, for comparison.")
LPIPS = flags.DEFINE_string("lpips", None, "evaluate --fused, report: weights of LPIPS, of python -m convert.lpips.")
DETECTOR = flags.DEFINE_string("detector", None, "evaluate --suite=detection: ONNX model of a detector.")
DETECTOR_LAYOUT = flags.DEFINE_enum("detector_layout", "yolov8", LAYOUTS, "Of the model's output.")
DETECTOR_SIZE = flags.DEFINE_integer("detector_size", 640, "Side of its input, where the model leaves it open.")
DETECTOR_CLASSES = flags.DEFINE_list("detector_classes", [], "Its class for each category of the labels, ascending.")
LABELS = flags.DEFINE_string("labels", None, "evaluate --suite=detection: folder of YOLO's NAME.txt, or COCO's .json.")
PAGE_MB = flags.DEFINE_float("page_mb", 50, "report: megabytes that the page's pictures may take; they shrink to fit.")
SIZES = flags.DEFINE_list("sizes", ["512x384"], "benchmark --suite=speed: WIDTHxHEIGHT of the pairs.")
BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1"], "benchmark --suite=speed: pairs per compiled call.")
SPEED_DTYPES = flags.DEFINE_list("dtypes", None, "benchmark --suite=speed: of the torso; --dtype if not given.")
REPEATS = flags.DEFINE_integer("repeats", 3, "benchmark --suite=speed: timed runs, of which the median counts.")
RANDOM_PRIOR = flags.DEFINE_string(
  "random_prior", None, "benchmark --suite=speed: random weights: a layout's official name, or as convert's --config."
)
PEER = flags.DEFINE_string("peer", None, "benchmark --suite=speed: checkout of MMIF-DDFM to run beside, in PyTorch.")
PEER_STEPS = flags.DEFINE_integer("peer_steps", 100, "benchmark --suite=speed: steps really run of the peer's 100.")
CLASSICAL = flags.DEFINE_bool("classical", True, "evaluate a prior: score classical denoisers too, which takes long.")
SAMPLES = flags.DEFINE_integer("samples", 16, "evaluate --suite=samples: how many to draw.")
SAMPLE_SIZE = flags.DEFINE_integer("sample_size", 128, "Side of the unconditional samples in pixels.")
SAMPLE_STEPS = flags.DEFINE_integer("sample_steps", 250, "Steps of the unconditional samples; train: 0 draws none.")
TABLE = flags.DEFINE_list("table", "methods", f"benchmark: all, or names among {', '.join(TABLES)}.")
FIGURE = flags.DEFINE_list("figure", [], "benchmark: 1, 5 or both: gains over the noise levels, in place of tables.")
BOXES = flags.DEFINE_string("boxes", "", "benchmark --figure: name:left,top,width,height;name:..., in pixels.")
ROWS = flags.DEFINE_string("rows", "", "benchmark: rows of the table to run, separated by semicolons; all if empty.")
LIMIT = flags.DEFINE_integer(
  "limit", 0, "evaluate, report: first images only; benchmark: so many pairs of all; 0 takes all."
)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 5e-4, "train: peak of the schedule.")
CROP_SIZE = flags.DEFINE_integer("crop_size", 64, "train: side of a crop in pixels.")
SAVE_EVERY = flags.DEFINE_integer("save_every", 500, "train: steps between checkpoints.")
ACCUMULATE = flags.DEFINE_integer("accumulate", 1, "train: parts that a batch is taken in, for less memory.")
DECAY_SHARE = flags.DEFINE_float("decay_share", 0.5, "train: last share of the steps, in which the rate falls.")
SHEET_EVERY = flags.DEFINE_integer("sheet_every", 0, "train: steps between sheets; 0 writes them at the end.")
NETWORK = flags.DEFINE_enum("network", "prior", ["prior", "drfusion"], "train: a diffusion prior, or DRFusion's.")
FAMILIES_OF = flags.DEFINE_list("families", list(FAMILIES), "train drfusion: degradations to draw from.")
WIDTH = flags.DEFINE_integer("width", None, "train: channels of the network's first level.")
CHANNEL_MULT = flags.DEFINE_list("channel_mult", None, "train: width of each level, as multiples of --width.")
BLOCKS = flags.DEFINE_integer("blocks", None, "train: residual blocks per level.")
PATCH = flags.DEFINE_integer("patch", None, "train: side of the space-to-depth stem, 1 for none.")
MIDDLE_ATTENTION = flags.DEFINE_bool("middle_attention", None, "train: attention at the lowest resolution.")
DISTRIBUTED = flags.DEFINE_bool("distributed", False, "fuse, train: one of several processes, as the cluster tells.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where no cluster tells.")
PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes, where no cluster tells.")
PROCESS = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0, where no cluster tells.")
INIT = flags.DEFINE_string("init", None, "train: prior whose weights to start from; a resumed run has its own.")
RESUME = flags.DEFINE_bool("resume", False, "train: go on from the last checkpoint in --out.")


def _method_options() -> MethodOptions | DrFusionOptions:
  kind, _ = METHODS[METHOD.value]
  known = {field.name for field in dataclasses.fields(kind)}
  given = {name: flag.value for name, flag in _OPTIONS.items() if flag.value is not None}
  if unused := [f"--{_OPTIONS[name].name}" for name in given if name not in known]:
    print(f"note: --method={METHOD.value} does not use {', '.join(unused)}", file=sys.stderr)
  given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if name in known}
  return kind(**given)


def _data() -> Path:
  if DATA.value:
    return Path(DATA.value)
  if JOB.value == "fuse" and EXAMPLES.value:
    print(f"note: no --data, so the bundled examples in {EXAMPLES.value} are fused", file=sys.stderr)
    return Path(__file__).resolve().parent / EXAMPLES.value
  raise UserError("--data: expected a folder, found nothing; add --data=FOLDER")


def _degradations() -> dict[str, degradation.Degradation]:
  stages, sigmas = [DEGRADATION.value], [SIGMA.value]
  for source, (its_stages, its_sigma) in _OF_SOURCE.items():
    stages += [f"{source}:{its_stages.value}"] if its_stages.value is not None else []
    sigmas += [f"{source}:{its_sigma.value}"] if its_sigma.value is not None else []
  return degradation.parse(",".join(filter(None, stages)), ",".join(filter(None, sigmas)), SOURCES.value)


def _restorer(prior: Prior | DrFusionNetwork) -> Restorer | None:
  degradations = _degradations()
  if all(one.clean for one in degradations.values()):
    return None
  if isinstance(prior, DrFusionNetwork):
    raise UserError("--degradation, --sigma: DRFusion's network restores what it was trained for; leave them out")
  if RESTORE_STEPS.value < 1:
    raise UserError(f"--restore_steps={RESTORE_STEPS.value}: expected at least 1")
  return Restorer(prior, degradations, steps=RESTORE_STEPS.value, seed=SEED.value)


def _network_prior() -> Prior | DrFusionNetwork:
  """What --method runs on."""
  if METHOD.value == "drfusion":
    return load_drfusion(Path(PRIOR.value) if PRIOR.value else DRFUSION, dtype=DTYPE.value)
  return _prior()


def _prior() -> Prior:
  return load_prior(Path(PRIOR.value) if PRIOR.value else EMBEDDED, dtype=DTYPE.value, label=CLASS_LABEL.value)


def _codec() -> Codec:
  if COLOUR.value == "rgb":
    return rgb_codec(stretch=STRETCH.value)
  chroma = CHROMA_FROM.value or SOURCES.value[-1]
  if chroma not in SOURCES.value:
    raise UserError(f"--chroma_from={chroma}: expected one of --sources={','.join(SOURCES.value)}")
  return luminance_codec(SOURCES.value.index(chroma), stretch=STRETCH.value)


def _fuse_config() -> fuse.FuseConfig:
  if BATCH_SIZE.value < (0 if JOB.value == "fuse" else 1) or BUCKET.value < 1:
    raise UserError("--batch_size, --bucket: expected at least 1 (fuse: --batch_size=0 chooses)")
  if TILE.value and (TILE.value < 64 or TILE.value % 64) or TILE.value is not None and TILE.value < 0:
    raise UserError(f"--tile={TILE.value}: expected a multiple of 64, or 0 for whole images")
  if OVERLAP.value < 0 or TILE.value and OVERLAP.value > TILE.value // 2:
    raise UserError(f"--overlap={OVERLAP.value}: expected 0 to half of --tile")
  return fuse.FuseConfig(
    data=Path() if MANIFEST.value else _data(),
    out=Path(OUT.value),
    sources=tuple(SOURCES.value),
    dataset=DATASET.value,
    split=SPLIT.value,
    manifest=Path(MANIFEST.value) if MANIFEST.value else None,
    seed=SEED.value,
    batch_size=BATCH_SIZE.value,
    bucket=BUCKET.value,
    tile=TILE.value,
    overlap=OVERLAP.value,
    overwrite=OVERWRITE.value,
    bit_depth=BIT_DEPTH.value,
    sheet=SHEET.value,
    maps=MAPS.value,
  )


def _fuse() -> int:
  config, options, codec = _fuse_config(), _method_options(), _codec()
  if LIST.value:
    lines, left_out = fuse.listed(config)
    print("".join(f"note: {line}\n" for line in left_out), end="", file=sys.stderr)
    print(lines, end="")
    return 0
  place = processes.place(
    DISTRIBUTED.value, coordinator=COORDINATOR.value, processes=PROCESSES.value, process=PROCESS.value
  )
  prior = _network_prior()
  restorer = _restorer(prior)
  method = make_method(prior.denoiser, codec, noise=prior.noise, options=options)
  values = dataclasses.asdict(options)
  machine = {"prior": str(prior.directory), "batch_size": BATCH_SIZE.value, "dig_chunk": values.pop("chunk"),
             "command": _command()}  # fmt: skip
  settings = {
    "method": METHOD.value,
    "options": values,
    "colour": COLOUR.value,
    "chroma_from": CHROMA_FROM.value or SOURCES.value[-1],
    "stretch": STRETCH.value,
    "class_label": CLASS_LABEL.value,
    "dtype": DTYPE.value,
    "matmul_precision": PRECISION.value,
  }
  conditions = getattr(options, "conditions", ())
  config = dataclasses.replace(config, settings=settings, machine=machine, conditions=conditions, restorer=restorer)
  done = fuse.run(config, method, prior.params, place=place)
  which = f"process {place.process} of {place.processes}: " if place.processes > 1 else ""
  return _finish(done, f"{which}{done.summary()}; results in {config.out}")


def _command() -> str:
  return shlex.join(["python", *sys.argv])


def _finish(found, text: str) -> int:
  """Prints a job's report, `left_out`, `notes` and `failed` among it; the exit status."""
  for line in (*found.left_out, *getattr(found, "notes", ())):
    print(f"note: {line}", file=sys.stderr)
  for line in found.failed:
    print(f"failed: {line}", file=sys.stderr)
  print(text)
  return 3 if found.failed else 0


def _evaluate() -> int:
  if SUITE.value == "detection":
    return _evaluate_detection()
  if FUSED.value or SUITE.value == "fused":
    return _evaluate_fused()
  prior, out, seed = _prior(), Path(OUT.value), SEED.value
  if SUITE.value == "samples":
    transition = _OPTIONS["transition"].value or "ancestral"
    options = {"count": SAMPLES.value, "size": SAMPLE_SIZE.value, "steps": SAMPLE_STEPS.value}
    print(f"samples written to {sample_prior.run(prior, out, transition=transition, seed=seed, **options)}")
  else:
    print(evaluate_prior.run(prior, _data(), out, limit=LIMIT.value, seed=seed, classical=CLASSICAL.value))
  return 0


def _evaluate_fused() -> int:
  folders, sources, arguments = _fused_arguments()
  found = evaluate_fused.run(folders, _data(), sources, Path(OUT.value), **arguments)
  return _finish(found, found.text)


def _evaluate_detection() -> int:
  if not DETECTOR.value or not LABELS.value:
    raise UserError("--suite=detection: expected --detector=MODEL.onnx and --labels=FOLDER or FILE.json")
  finder = Detector(Path(DETECTOR.value), layout=DETECTOR_LAYOUT.value, size=DETECTOR_SIZE.value)
  folders, sources, _ = _fused_arguments()
  classes = tuple(_whole("detector_classes", text) for text in DETECTOR_CLASSES.value)
  options = {"classes": classes, "baselines": BASELINES.value, "limit": LIMIT.value}
  found = detect.run(folders, _data(), sources, Path(LABELS.value), Path(OUT.value), finder, **options)
  return _finish(found, found.text)


def _fused_arguments() -> tuple[dict[str, Path], tuple[str, ...], dict]:
  arguments = {"protocol": _one_protocol(), "baselines": BASELINES.value, "limit": LIMIT.value}
  arguments["lpips"] = lpips.load(Path(LPIPS.value)) if LPIPS.value else None
  return fused_folders.named(FUSED.value or []), tuple(SOURCES.value), arguments


def _report() -> int:
  folders, sources, arguments = _fused_arguments()
  out = Path(OUT.value)
  found = report.run(folders, _data(), sources, out, command=_command(), budget_mb=PAGE_MB.value, **arguments)
  return _finish(found, f"{found.text}\npage written to {out / report.PAGE}")


def _one_protocol() -> str:
  names = PROTOCOL.value or ["panel"]
  if len(names) != 1:
    raise UserError(f"--protocol={','.join(names)}: expected one name for --job={JOB.value}; run it once for each")
  return names[0]


def _speed() -> int:
  sizes = []
  for text in SIZES.value:
    width, cross, height = text.partition("x")
    if not cross:
      raise UserError(f"--sizes={text}: expected WIDTHxHEIGHT, such as 512x384")
    sizes.append((_integer("sizes", height), _integer("sizes", width)))
  if REPEATS.value < 1:
    raise UserError(f"--repeats={REPEATS.value}: expected at least 1")
  config = speed.SpeedConfig(
    out=Path(OUT.value),
    sizes=tuple(sizes),
    batches=tuple(_integer("batch_sizes", text) for text in BATCH_SIZES.value),
    dtypes=tuple(SPEED_DTYPES.value or [DTYPE.value]),
    repeats=REPEATS.value,
  )
  methods = {METHOD.value: _method_options()}
  peer = None
  if PEER.value:
    methods.setdefault("ddfm", METHODS["ddfm"][0]())
    released = DdfmPeer(Path(PEER.value), measured=PEER_STEPS.value)
    peer = lambda prior, height, width: released(prior.params, prior.config, height, width)  # noqa: E731
  print(speed.run(_speed_prior, _codec(), methods, config, peer=peer, peer_name="ddfm, as released, PyTorch"))
  return 0


def _speed_prior(dtype: str) -> Prior:
  if not RANDOM_PRIOR.value:
    return load_prior(Path(PRIOR.value) if PRIOR.value else EMBEDDED, dtype=dtype, label=CLASS_LABEL.value)
  if RANDOM_PRIOR.value in OFFICIAL:
    config, schedule = OFFICIAL[RANDOM_PRIOR.value].config, OFFICIAL[RANDOM_PRIOR.value].schedule
  else:
    config, schedule = configured(RANDOM_PRIOR.value)
  noise = {"name": schedule, "num_timesteps": 1000}
  return random_prior(config, noise, name=f"of random weights, {RANDOM_PRIOR.value}", dtype=dtype)


def _tuned() -> Dig2DigOptions:
  options = _method_options()
  if not isinstance(options, Dig2DigOptions):
    raise UserError("--job=benchmark varies Dig2DIG and has the other methods as rows; leave out --method")
  return options


def _theory() -> int:
  tuned = _tuned()
  rows = {
    "uniform": dataclasses.replace(tuned, weights="uniform"),
    "Dig2DIG, literal": Dig2DigOptions(steps=tuned.steps),
    "Dig2DIG, tuned": tuned,
  }
  options = {"limit": LIMIT.value, "bucket": BUCKET.value, "seed": SEED.value}
  print(theory.run(_prior(), _codec(), rows, _data(), Path(OUT.value), **options))
  return 0


def _figures() -> int:
  wanted = {"figures": tuple(FIGURE.value), "boxes": gain_figures.parse_boxes(BOXES.value), "limit": LIMIT.value}
  written = gain_figures.run(_prior(), _codec(), _fuse_config(), _tuned(), **wanted)
  print("\n".join(f"written: {path}" for path in written))
  return 0


def _degraded() -> int:
  prior, codec, options = _prior(), _codec(), _tuned()
  trained = None
  if DRFUSION_PRIOR.value or DRFUSION.is_dir():
    network = load_drfusion(Path(DRFUSION_PRIOR.value) if DRFUSION_PRIOR.value else DRFUSION, dtype=DTYPE.value)
    method = make_method(network.denoiser, codec, noise=network.noise, options=DrFusionOptions())
    trained = method, network.params
  method = make_method(prior.denoiser, codec, noise=prior.noise, options=options)
  settings = {"options": dataclasses.asdict(options), "prior": str(prior.directory)}
  config = dataclasses.replace(_fuse_config(), settings=settings)
  print(
    degraded.run(
      lambda degradations: Restorer(prior, degradations, steps=RESTORE_STEPS.value, seed=SEED.value),
      (method, prior.params),
      config,
      drfusion=trained,
      cases=tuple(CASES.value),
      limit=LIMIT.value,
      middle=MIDDLE.value,
    )
  )
  return 0


def _benchmark() -> int:
  if SUITE.value == "speed":
    return _speed()
  if SUITE.value == "metrics":
    print(metric_speed.run(Path(OUT.value), pairs=LIMIT.value or 100))
    return 0
  if SUITE.value == "degraded":
    return _degraded()
  if SUITE.value == "theory":
    return _theory()
  if FIGURE.value:
    return _figures()
  tables = tuple(TABLES) if TABLE.value == ["all"] else tuple(TABLE.value)
  keep = tuple(row.strip() for row in ROWS.value.split(";") if row.strip())
  config, options = _fuse_config(), _tuned()
  chosen = {"tables": tables, "keep": keep, "limit": LIMIT.value}
  if PROTOCOL.value:
    chosen["protocols"] = tuple(PROTOCOL.value)
  print(benchmark.run(_prior(), _codec(), config, options, **chosen))
  return 0


def _share(flag: str, value: float) -> float:
  if not 0 < value <= 1:
    raise UserError(f"--{flag}={value}: expected above 0 and at most 1")
  return value


def _network() -> NetworkConfig:
  if NETWORK.value == "drfusion":
    try:
      return DrFusionConfig(**({} if WIDTH.value is None else {"width": WIDTH.value}))
    except ValueError as error:
      raise UserError(f"--width: {error}") from error
  given = {
    "model_channels": WIDTH.value,
    "channel_mult": CHANNEL_MULT.value and tuple(_integer("channel_mult", mult) for mult in CHANNEL_MULT.value),
    "num_res_blocks": BLOCKS.value,
    "patch": PATCH.value,
    "middle_attention": MIDDLE_ATTENTION.value,
  }
  try:
    given = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(train_config.EMBEDDED, **given)
  except ValueError as error:
    raise UserError(f"--width, --channel_mult: {error}") from error


def _integer(flag: str, text: str) -> int:
  return _whole(flag, text, least=1)


def _whole(flag: str, text: str, least: int = 0) -> int:
  if not text.isdecimal() or int(text) < least:
    raise UserError(f"--{flag}={text}: expected whole numbers from {least} up, such as 1,2,4")
  return int(text)


def _train() -> int:
  if DISTRIBUTED.value:  # before anything else asks for devices
    jax.distributed.initialize(COORDINATOR.value, PROCESSES.value, PROCESS.value)
  folders = tuple(Path(part) for part in str(_data()).split(","))  # DRFusion learns from several data sets
  config = train_config.TrainConfig(
    data=folders[0] if NETWORK.value == "drfusion" else _data(),
    folders=folders,
    sources=tuple(SOURCES.value),
    degraded=DegradedConfig(families=tuple(FAMILIES_OF.value)),
    out=Path(OUT.value),
    model=_network(),
    crop=CropConfig(size=CROP_SIZE.value),
    step=StepConfig(
      learning_rate=LEARNING_RATE.value,
      total_steps=StepConfig.total_steps if STEPS.value is None else STEPS.value,
      decay_share=_share("decay_share", DECAY_SHARE.value),
      accumulate=ACCUMULATE.value,
    ),
    batch_size=BATCH_SIZE.value,
    dtype=DTYPE.value,
    seed=SEED.value,
    save_every=SAVE_EVERY.value,
    sheet_every=SHEET_EVERY.value,
    sample_steps=SAMPLE_STEPS.value,
    sample_size=SAMPLE_SIZE.value,
    resume=RESUME.value,
    init=Path(INIT.value) if INIT.value else None,
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
    jobs = {"fuse": _fuse, "evaluate": _evaluate, "report": _report, "benchmark": _benchmark, "train": _train}
    return jobs[JOB.value]()
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
  app.run(main, flags_parser=parse)
