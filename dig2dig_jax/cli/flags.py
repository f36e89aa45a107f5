"""Which flags are there? All of them, each with its default, help, the jobs that use it and the values it may take.

Only the other files of this folder read them.
"""

import os
import re
from pathlib import Path
from typing import Any

from dig2dig_jax.checks import Check, above, at_least, between, one_of
from dig2dig_jax.cli.choices import ALIGN as ALIGNS
from dig2dig_jax.cli.choices import ALIGN_OR as ALIGN_ORS
from dig2dig_jax.cli.choices import (
  DATASETS,
  DEGHOST,
  DTYPES,
  ENGINES,
  LAYOUTS,
  PROTOCOLS,
  RESIZE,
  RESULTS,
  STAGES_HELP,
  TABLES,
  VALID,
)  # fmt: skip
from dig2dig_jax.cli.declare import boolean, enum, group, integer, names, number, path, paths, string
from dig2dig_jax.methods.option import declared
from dig2dig_jax.methods.options import OPTIONS as METHODS

JOBS = ("fuse", "evaluate", "report", "benchmark", "train")


def cache_folder() -> str:
  """Default folder of compiled programs; empty, for none, if the user has no home folder."""
  if place := os.environ.get("XDG_CACHE_HOME"):
    return str(Path(place) / "dig2dig_jax" / "programs")
  try:
    return str(Path.home() / ".cache" / "dig2dig_jax" / "programs")
  except RuntimeError:
    return ""


# Groups of jobs that share flags.
PAIRS = (
  "fuse", "evaluate:fused,detection", "report",
  "benchmark:tables,figures,degraded,unannounced,questions,alignment,brackets",
)  # fmt: skip
FUSES = ("fuse", "benchmark:tables,figures,speed,theory,degraded,unannounced,questions,brackets")
PRIORS = (*FUSES, "evaluate:prior,samples")
SCORES = ("evaluate:fused,detection", "report")
SPEED, DEGRADED, DETECTION = "benchmark:speed", "benchmark:degraded", "evaluate:detection"
UNANNOUNCED, QUESTIONS, ALIGNMENT = "benchmark:unannounced", "benchmark:questions", "benchmark:alignment"
BRACKETS = "benchmark:brackets"
ALL = JOBS
_NAME = Check(lambda name: 0 < len(name.encode("utf-8", "replace")) <= 100 and "/" not in name and name[0] not in ".~",
              "names that can be a folder's")  # fmt: skip
_TWO_NAMES = Check(lambda names: len(names) == len(set(names)) >= 2, "two or more different names, separated by commas")
_SOME_NAME = Check(lambda name: name != "", "names, separated by commas")

group("common")
JOB = enum("job", "fuse", JOBS, "What to do.", *ALL)
SUITE = enum(
  "suite", None,
  ["prior", "samples", "fused", "detection", "tables", "speed", "metrics", "theory", "degraded", "unannounced",
   "left_out", "ranks", "questions", "alignment", "brackets"],
  "evaluate: denoising PSNR of a prior (the default), its samples, scores of fused images (the default with --fused), "
  "or a detector's mean average precision on them; "
  "benchmark: tables of scores (the default), speed of fusion or of the metrics, the paper's bound on images whose "
  "ideal fusion is known (theory), sources with known degradations (degraded) or unannounced ones (unannounced), "
  "constants chosen on the other data sets (left_out), mean ranks over the tables of several data sets (ranks), "
  "open questions raised in review (questions), alignment of warped pairs (alignment), or exposure of fused brackets "
  "(brackets).",
  "evaluate", "benchmark",
)  # fmt: skip
DATA = path(
  "data", None, "Folder of images; for pairs, one sub-folder per source, or see --dataset.",
  "fuse", "evaluate", "report",
  "benchmark:tables,figures,theory,degraded,unannounced,questions,alignment,brackets",
  "train", several=True,
)  # fmt: skip
DATASET = enum("dataset", "folders", DATASETS, "Layout of --data, by the published data set that uses it.", *PAIRS)
SPLIT = path(
  "split", None, "Part of a --dataset: its name (train, test), or a file of names, one per line.", *PAIRS
)
MANIFEST = path("manifest", None, "File of pairs in the format that --list prints, instead of --data.", *PAIRS)
SOURCES = names(
  "sources", "ir,vi", "Names of the two or more sources, which are sub-folders of --data.",
  *PAIRS, "benchmark:speed,theory", "train:drfusion", check=_NAME, of_list=_TWO_NAMES,
)  # fmt: skip
RANGE = string(
  "range", "", "Stored values of black and white: auto, shared, full or LOW:HIGH, or SOURCE:... for one source, "
  "separated by commas; by default detected and reported for files of more than 8 bits. docs/batch_runs.md.", *PAIRS,
)  # fmt: skip
VALID = enum(
  "valid", "auto", VALID, "Pixels to ignore: auto, those that are transparent or in the constant border that a warp "
  "leaves; alpha, the transparent ones only; off, none. docs/batch_runs.md.",
  "fuse", "benchmark:tables,figures,degraded,unannounced,questions,brackets",
)  # fmt: skip
PALETTE = string(
  "palette", "auto", "False-colour palette of a thermal source, which is mapped back to scalar values: auto "
  "(recognises known palettes), off, or a name; SOURCE:... for one source. docs/formats.md.", "fuse",
)  # fmt: skip
COLORMAP = string(
  "colormap", "", "Palette in which a grey functional source is overlaid on the fused image, keeping its luminance; "
  "SOURCE:NAME for another source. docs/formats.md.", "fuse",
)  # fmt: skip
OUT = path("out", "out", "Folder for results.", *ALL)
GAINS = enum(
  "gains", "prior", ["prior", "swift"], "Network that restores noisy sources: the prior, or swift, a small network "
  "distilled from it, which takes a fraction of the time. docs/video.md.", *FUSES, "evaluate:prior",
)  # fmt: skip
PRIOR = path(
  "prior", None, "Checkpoint folder of the diffusion prior; the embedded one by default.", *PRIORS, "train:swift"
)
CLASS_LABEL = integer(
  "class_label", None, "Class on which a class-conditional prior is conditioned.", *PRIORS, check=at_least(0)
)
SEED = integer(
  "seed", 0, "Seed of the random numbers.",
  "fuse", "evaluate:prior,samples", "benchmark:tables,figures,theory,degraded,unannounced,questions,alignment", "train",
  check=between(0, 2**32 - 1),
)  # fmt: skip
LIMIT = integer(
  "limit", 0, "Use only this many pairs or images: the first ones (benchmark tables, unannounced, questions and "
  "brackets: evenly spaced); 0 uses all.",
  "evaluate:prior,fused,detection", "report",
  "benchmark:tables,figures,metrics,theory,degraded,unannounced,questions,alignment,brackets",
  check=at_least(0),
)  # fmt: skip

group("fuse")
LIST = boolean("list", False, "Print the pairs, one JSON line each, and exit.", "fuse")
EXAMPLES = path("examples", None, "Folder of pairs to fuse when --data is not given.", "fuse")
OVERWRITE = boolean("overwrite", False, "Overwrite results made with other flags, weights or sources.", "fuse")
ONLY = enum("only", None, ["failed"], "Restrict the run: `failed` takes only the pairs that failed in an earlier run "
            "and have not been fused since.", "fuse")  # fmt: skip
BIT_DEPTH = integer(
  "bit_depth", 8, "Bit depth of the fused PNGs: 8, 16, or 0 for that of the deepest source.", "fuse",
  check=one_of((8, 16, 0)),
)  # fmt: skip
COLOUR = enum("colour", "luminance", ["luminance", "rgb"], "What is fused: luminance, or all three of RGB.", *FUSES)
CHROMA_FROM = string(
  "chroma_from", None, "Source whose chroma is added to the fused luminance; the last by default.", *FUSES
)
STRETCH = boolean(
  "stretch", False, "Stretch fused images to the full range, as the released DDFM and CCF do.", *FUSES
)
RESULTS_IN = enum(
  "results", "files", RESULTS, "Storage of the fused images: PNG files, or shards of a given format, with the log "
  "beside them. docs/stores.md.", "fuse",
)  # fmt: skip
SHARD = integer("shard", 1000, "Pairs in one shard of --results.", "fuse", check=between(1, 10**6))
SHEET = boolean("sheet", True, "Write a contact sheet of the first pairs.", "fuse")
MAPS = boolean("maps", False, "Write the weight maps, and the conditions that CCF selected, as PNG.", "fuse")
TEMPERATURES = boolean(
  "temperatures", False, "Write the temperatures of a radiometric source (a FLIR JPEG) beside each image, as the "
  "floating-point file NAME_celsius.tif. docs/formats.md.", "fuse",
)  # fmt: skip

# Without a flag, the method's own paper decides; flag files hold the tuned values.
group("method")
_MODULE = re.compile(r"[\w.]+:\w+")
METHOD = string(
  "method", "dig2dig", f"Fusion method: {', '.join(METHODS)}, or module:function for your own.", *FUSES,
  check=Check(
    lambda name: name in METHODS or bool(_MODULE.fullmatch(name)), f"one of {', '.join(METHODS)}, or module:function"
  ),
)  # fmt: skip
FAST = boolean("fast", False, "dig2dig: one pass without reverse steps; docs/performance.md.", *FUSES)
STEPS = integer(
  "steps", None, "Reverse steps (train: optimiser steps); 0: Dig2DIG in one pass, without reverse steps.", *FUSES,
  "train",
  check=between(0, 10**9),
)  # fmt: skip


def _of_methods() -> dict[str, Any]:
  """{name of the option: its flag}, of the options of all methods as they are declared there."""
  make = {"string": string, "number": number, "integer": integer, "boolean": boolean, "names": names, "source": string}
  using: dict[str, list[str]] = {}
  for method, kind in METHODS.items():
    for name, _ in declared(kind):
      using.setdefault(name, []).append(method)
  flags = {"steps": STEPS}
  for kind in METHODS.values():
    for name, found in declared(kind):
      if name in flags:
        continue
      one = f"{using[name][0]}: " if len(using[name]) == 1 else ""
      jobs = (*FUSES, "evaluate:samples") if name == "transition" else FUSES
      check = None if found.kind == "source" else found.check
      flags[name] = make[found.kind](found.flag, None, f"{one}{found.help}.", *jobs, check=check)
  return flags


OPTIONS = _of_methods()

# Restoration with the prior before fusion: docs/degraded.md.
group("degraded sources")
DEGRADATION = string("degradation", "", f"SOURCE:STAGES,...: {STAGES_HELP}.", "fuse")
SIGMA = string(
  "sigma", "", "SOURCE:SIGMA,...: standard deviation of each source's noise in 8-bit values, or auto to estimate it.",
  "fuse",
)  # fmt: skip
RESTORE_STEPS = integer(
  "restore_steps", 8, "Network evaluations to restore a source that is degraded in other ways than by noise.", "fuse",
  DEGRADED, UNANNOUNCED, QUESTIONS, check=between(1, 1000),
)  # fmt: skip

# Alignment before fusion: docs/alignment.md.
group("alignment")
ALIGN = enum(
  "align", "off", ALIGNS, "Align the sources of each pair with this class of transforms; auto: a similarity, refined; "
  "flow: also a smooth displacement, for parallax. Without this flag, a line reports if the first pair is not aligned.",
  "fuse", *SCORES,
)  # fmt: skip
ALIGN_OR = enum(
  "align_or", "warn", ALIGN_ORS, "Where no reliable alignment is found: warn and fuse the pair as it is, or skip it.",
  "fuse", *SCORES,
)  # fmt: skip
TRANSFORMS = path(
  "transforms", None, "File of transforms written by dig2dig align, applied to every pair.", "fuse", *SCORES
)
REFERENCE = string(
  "reference", "", "Source to whose frame the others are resampled; the largest by default.", "fuse", *SCORES
)
RESIZE_BY = enum(
  "resize", "aspect", RESIZE, "Sources of different sizes that are not aligned: aspect, resample to the size of the "
  "reference if aspect ratios agree; stretch, at any aspect ratio; off, refuse.", "fuse", *SCORES,
)  # fmt: skip
DEGHOST_BY = enum(
  "deghost", "off", DEGHOST, "Take what moved between the sources from one of them: --reference, or else the best "
  "exposed (exposure) or the sharpest (focus). The value says in what else the sources differ.", "fuse",
)  # fmt: skip

group("machine")
BATCH_SIZE = integer(
  "batch_size", 1, "Maximum pairs per device and compiled call (fuse: 0 chooses by itself); train: crops per step.",
  "fuse", "benchmark:tables", "train", check=between(0, 65536),
)  # fmt: skip
TILE = integer(
  "tile", None, "Side of the tiles on which the network is evaluated, 0 for whole images; by default chosen to fit "
  "memory.",
  "fuse", check=Check(lambda side: 0 <= side <= 65536 and side % 64 == 0, "a multiple of 64, or 0 for whole images"),
)  # fmt: skip
OVERLAP = integer("overlap", 128, "Overlap of neighbouring tiles in pixels.", "fuse", check=between(0, 32768))
SHARD_IMAGE = boolean(
  "shard_image", False, "Distribute the rows of each image over the devices, instead of the pairs: for a few large "
  "images.", "fuse",
)  # fmt: skip
BUCKET = integer(
  "bucket", 128, "Pad sides by reflection to multiples of this, so that fewer programs are compiled.",
  "fuse", "benchmark:tables,figures,theory,degraded,unannounced,questions", check=between(1, 8192),
)  # fmt: skip
DTYPE = string(
  "dtype", "float32", f"Data type of the network's torso: {', '.join(DTYPES)}.", *PRIORS, "train",
  check=one_of(DTYPES),
)  # fmt: skip
KERNELS = enum(
  "kernels", "off", ["off", "on"], "Custom kernels for the norms of small feature maps and, on NVIDIA GPUs, for "
  "pyramid levels. docs/performance.md.",
  *PRIORS,
)  # fmt: skip
PRECISION = string("matmul_precision", "default", "JAX's default_matmul_precision.", *ALL)
CACHE = path("compile_cache", cache_folder(), "Cache folder of compiled programs; empty for none.", *ALL, empty=True)
DISTRIBUTED = boolean(
  "distributed", False, "Run as one of several processes, which the cluster environment describes.", "fuse", "train"
)
COORDINATOR = string(
  "coordinator", None, "HOST:PORT of process 0, if the cluster environment does not say.", "fuse", "train",
  check=Check(lambda text: text.rpartition(":")[0] != "" and text.rpartition(":")[2].isdecimal(), "HOST:PORT"),
)  # fmt: skip
PROCESSES = integer(
  "num_processes", None, "Number of processes, if the cluster environment does not say.", "fuse", "train",
  check=at_least(1),
)
PROCESS = integer(
  "process_id", None, "Number of this process, from 0, if the cluster environment does not say.", "fuse", "train",
  check=at_least(0),
)  # fmt: skip

ENGINE = enum(
  "engine", "none", ENGINES, "What fuses the pairs: this process (none), or the workers of a Ray cluster "
  "(--engine_address). docs/clusters.md.", "fuse",
)  # fmt: skip
ENGINE_WORKERS = string(
  "engine_workers", "1:", "With --engine, MIN:MAX workers; without MAX, as many as the cluster has room for.", "fuse"
)
ENGINE_ADDRESS = string(
  "engine_address", "", "With --engine, HOST:PORT of a Ray cluster, or auto for the one on this machine; if empty, "
  "RAY_ADDRESS, or else a cluster started for this run.", "fuse",
)  # fmt: skip
ENGINE_RESOURCES = string(
  "engine_resources", "CPU:1", "With --engine, resources of one worker, such as CPU:4,GPU:1 or TPU:4.", "fuse"
)

group("evaluate, report")
FUSED = paths(
  "fused", None, "Folders of fused images (of any program) or of a run's shards, one per method.", *SCORES
)
PROTOCOL = names(
  "protocol", None, f"Set of measures: {', '.join(PROTOCOLS)} (default panel); benchmark: one or more (panel,common).",
  "evaluate:fused", "report", "benchmark:tables",
)  # fmt: skip
WHICH_CONVENTION = names(
  "which_convention", [], "Published numbers, such as VIF:0.69,SSIM:0.91: instead of scores, print the definitions by "
  "which --fused attains them. docs/evaluation.md.", "evaluate:fused",
)  # fmt: skip
BASELINES = boolean("baselines", True, "Add rows of plain fusions for comparison.", *SCORES)
LPIPS = path(
  "lpips", None, "LPIPS weights, written by dig2dig convert lpips.", "evaluate:fused", "report", "benchmark:tables"
)
PAGE_MB = number("page_mb", 50, "Size limit of the report's pictures in megabytes; they are scaled down to fit.",
                 "report", check=above(0))  # fmt: skip
DETECTOR = path("detector", None, "Object detector, an ONNX model.", DETECTION)
DETECTOR_LAYOUT = enum("detector_layout", "yolov8", LAYOUTS, "Layout of the detector's output.", DETECTION)
DETECTOR_SIZE = integer(
  "detector_size", 640, "Side of the detector's input, if the model does not fix it.", DETECTION,
  check=between(1, 16384),
)  # fmt: skip
DETECTOR_CLASSES = names(
  "detector_classes", [], "The detector's class for each category of the labels, in ascending order.", DETECTION
)
LABELS = path(
  "labels", None, "Folder of YOLO NAME.txt or Pascal VOC NAME.xml files, or a COCO .json file.", DETECTION
)
CLASSICAL = boolean("classical", True, "Also score classical denoisers, which is slow.", "evaluate:prior")
SAMPLES = integer("samples", 16, "Number of samples to draw.", "evaluate:samples", check=between(1, 65536))
SAMPLE_SIZE = integer(
  "sample_size", 128, "Side of unconditional samples in pixels.", "evaluate:samples", "train:prior",
  check=between(1, 8192),
)  # fmt: skip
SAMPLE_STEPS = integer(
  "sample_steps", 250, "Reverse steps of unconditional samples; train: 0 draws none.", "evaluate:samples",
  "train:prior",
  check=between(0, 10**6),
)  # fmt: skip

group("benchmark")
TABLE = names(
  "table", "methods", f"all, or one or more of {', '.join(TABLES)}; or peers, to run other programs on the same pairs.",
  "benchmark:tables", check=_SOME_NAME,
)  # fmt: skip
PEERS = path(
  "peers", None, "With --table=peers, a TOML file that lists other programs, or a folder of their checkouts. "
  "docs/peers.md.",
  "benchmark:tables",
)  # fmt: skip
ROWS = string(
  "rows", "", "Rows of the table to run, separated by semicolons, with * as a wildcard; all if empty.",
  "benchmark:tables",
)  # fmt: skip
SCORED = paths(
  "scored", None, "Folders written by --table=spectrum (for left_out) or --table=clean (for ranks), one per data set.",
  "benchmark:left_out,ranks",
)  # fmt: skip
FIGURE = names(
  "figure", [], "Figures of the paper to draw instead of tables, gains over noise levels: 1, 5 or both.",
  "benchmark:figures",
)  # fmt: skip
BOXES = string("boxes", "", "Regions as name:left,top,width,height;name:..., in pixels.", "benchmark:figures")
CASES = names(
  "cases", None, "Names of the degradations, questions (misregistered, leaning, mistold, intervals, fewer_pixels), "
  "camera set-ups (mounted, unknown; with known registration: registered_mounted, made_mounted, focused_mounted, "
  "exposed_mounted ...) or brackets (real, lopsided) to run; all by default, of the camera set-ups the first two.",
  DEGRADED, UNANNOUNCED, QUESTIONS, ALIGNMENT, BRACKETS, check=_SOME_NAME,
)  # fmt: skip
AFFECTED = names(
  "affected", None, "Which sources are degraded: any of first, second, both; all three by default.", UNANNOUNCED
)
_MIDDLE = Check(lambda side: side == 0 or 32 <= side <= 65536, "0, or 32 pixels and more")
MIDDLE = integer("middle", 0, "Side of the central square to crop from each pair; 0 keeps whole images.",
                 "benchmark:tables", DEGRADED, UNANNOUNCED, QUESTIONS, BRACKETS, check=_MIDDLE)  # fmt: skip
HELD_OUT = boolean("held_out", False, "Use only pairs held out from DRFusion's training.", DEGRADED)
DRFUSION_PRIOR = path("drfusion", None, "DRFusion checkpoint for the row of that method.", DEGRADED)
SIZES = names("sizes", ["512x384"], "WIDTHxHEIGHT of the pairs.", SPEED)
BATCH_SIZES = names("batch_sizes", ["1"], "Pairs per compiled call.", SPEED)
SPEED_DTYPES = names("dtypes", None, "Data types of the torso; --dtype by default.", SPEED, check=one_of(DTYPES))
REPEATS = integer("repeats", 3, "Timed runs, of which the median is reported.", SPEED, check=between(1, 10**6))
PROFILE = boolean("profile", False, "Print how the time is spent, by kind of kernel.", SPEED)
RANDOM_PRIOR = string(
  "random_prior", None, "Architecture to run with random weights: an official name, or --config of the converter.",
  SPEED,
)  # fmt: skip
PEER = path("peer", None, "Checkout of MMIF-DDFM, to be timed alongside in PyTorch.", SPEED)
PEER_STEPS = integer("peer_steps", 100, "How many of the peer's 100 steps to run.", SPEED, check=between(1, 100))

group("train")
NETWORK = enum(
  "network", "prior", ["prior", "drfusion", "swift"], "Network to train: a diffusion prior, DRFusion's network, or "
  "the swift network, distilled from a prior (--gains=swift).", "train",
)  # fmt: skip
CACHED = integer(
  "cached_crops", 3072, "Crops on which the prior is evaluated, once each.", "train:swift", check=between(64, 10**6)
)
LEARNING_RATE = number("learning_rate", 5e-4, "Peak learning rate of the schedule.", "train", check=above(0))
CROP_SIZE = integer("crop_size", 64, "Side of a crop in pixels.", "train", check=between(1, 8192))
SAVE_EVERY = integer("save_every", 500, "Steps between checkpoints.", "train", check=at_least(1))
ACCUMULATE = integer(
  "accumulate", 1, "Gradient accumulation: parts into which a batch is split to save memory.", "train",
  check=between(1, 65536),
)
DECAY_SHARE = number(
  "decay_share", 0.5, "Fraction of the steps, at the end, over which the learning rate decays.", "train",
  check=Check(lambda share: 0 < share <= 1, "above 0 and at most 1"),
)  # fmt: skip
SHEET_EVERY = integer(
  "sheet_every", 0, "Steps between contact sheets; 0 writes one at the end.", "train", check=at_least(0)
)
WIDTH = integer("width", None, "Channels of the network's first level.", "train", check=between(1, 8192))
INIT = path("init", None, "Prior whose weights to start from; ignored when resuming.", "train")
RESUME = boolean("resume", False, "Continue from the last checkpoint in --out.", "train")
CHANNEL_MULT = names("channel_mult", None, "Width of each level, as multiples of --width.", "train:prior")
BLOCKS = integer("blocks", None, "Residual blocks per level.", "train:prior", check=between(1, 64))
PATCH = integer("patch", None, "Side of the space-to-depth stem, 1 for none.", "train:prior", check=between(1, 64))
MIDDLE_ATTENTION = boolean("middle_attention", None, "Attention at the lowest resolution.", "train:prior")
FAMILIES_OF = names(
  "families", None, "Degradations to draw from; all by default.", "train:drfusion", check=_SOME_NAME
)
NORM_GROUPS = integer(
  "norm_groups", None, "Groups of the group normalisation (32).", "train:drfusion", check=between(1, 8192)
)
FULL_EVERY = integer(
  "full_every", 1, "Run all reverse steps on one pair in this many, and only the last step on the others.",
  "train:drfusion", check=between(1, 65536),
)  # fmt: skip
DETACH = boolean(
  "detach", False, "Stop the gradient of the fused image's losses at the restored sources that they compare it with.",
  "train:drfusion",
)  # fmt: skip
DROPOUT = number(
  "dropout", None, "Dropout rate (0.1).", "train:drfusion",
  check=Check(lambda share: 0 <= share < 1, "from 0 to less than 1"),
)  # fmt: skip
RECOMPUTE = boolean(
  "recompute", True, "Recompute activations in the backward pass, for a third of the memory.", "train:drfusion"
)
