"""Which flags are there? All of them: default, help, the jobs that know them, the values that they may have.

The other files of this folder read them, nobody else.
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
  """Where compiled programs are kept unless told: empty, for nowhere, for a user without a home."""
  if place := os.environ.get("XDG_CACHE_HOME"):
    return str(Path(place) / "dig2dig_jax" / "programs")
  try:
    return str(Path.home() / ".cache" / "dig2dig_jax" / "programs")
  except RuntimeError:
    return ""


# Which jobs know a flag, where several flags are known by the same ones.
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
  "evaluate: PSNR of a prior (the default), its samples, the scores of fused images (with --fused the default), or a "
  "detector's mean average precision on them; "
  "benchmark: tables of scores (the default), speed of fusion or of the metrics, the paper's bound on images whose "
  "ideal fusion is known (theory), sources degraded in known ways (degraded), or in ways that "
  "nobody says (unannounced), constants that other data sets choose (left_out), the mean ranks of several "
  "data sets' tables (ranks), what reviews asked (questions), "
  "warped pairs brought back (alignment), or how brackets are exposed (brackets).",
  "evaluate", "benchmark",
)  # fmt: skip
DATA = path(
  "data", None, "Folder of images; for pairs, one sub-folder per source, or see --dataset.",
  "fuse", "evaluate", "report",
  "benchmark:tables,figures,theory,degraded,unannounced,questions,alignment,brackets",
  "train", several=True,
)  # fmt: skip
DATASET = enum("dataset", "folders", DATASETS, "Layout of --data: of which published data set.", *PAIRS)
SPLIT = path(
  "split", None, "Part of a --dataset by name (train, test), or a file of names, one a line.", *PAIRS
)
MANIFEST = path("manifest", None, "File of pairs as --list prints it, in place of --data.", *PAIRS)
SOURCES = names(
  "sources", "ir,vi", "Names of the sources, which are sub-folders of --data. Two or more.",
  *PAIRS, "benchmark:speed,theory", "train:drfusion", check=_NAME, of_list=_TWO_NAMES,
)  # fmt: skip
RANGE = string(
  "range", "", "Stored values that are black and white: auto, shared, full or LOW:HIGH, or SOURCE:... for one source, "
  "separated by commas; found, and said, where more than 8 bits are read. docs/batch_runs.md.", *PAIRS,
)  # fmt: skip
VALID = enum(
  "valid", "auto", VALID, "Where a source is transparent, or of one value outside of a warp's straight edges, "
  "the others stand alone; alpha: the first only; off: all is content. docs/batch_runs.md.",
  "fuse", "benchmark:tables,figures,degraded,unannounced,questions,brackets",
)  # fmt: skip
PALETTE = string(
  "palette", "auto", "The palette that a thermal source's colours are of, taken back to the values behind it: auto "
  "finds known ones, off, or a name; SOURCE:... for one source. docs/formats.md.", "fuse",
)  # fmt: skip
COLORMAP = string(
  "colormap", "", "Palette in whose colours a gray functional source is laid over the fused image, whose luminance "
  "stays; SOURCE:NAME for another source. docs/formats.md.", "fuse",
)  # fmt: skip
OUT = path("out", "out", "Folder for results.", *ALL)
GAINS = enum(
  "gains", "prior", ["prior", "swift"], "Who is asked about noisy sources: the prior, or a small network that learned "
  "from it, in a fraction of the time; docs/video.md.", *FUSES, "evaluate:prior",
)  # fmt: skip
PRIOR = path(
  "prior", None, "Checkpoint folder of the diffusion prior; the embedded one by default.", *PRIORS, "train:swift"
)
CLASS_LABEL = integer(
  "class_label", None, "Class that a class-conditional prior is asked for.", *PRIORS, check=at_least(0)
)
SEED = integer(
  "seed", 0, "Of all randomness.",
  "fuse", "evaluate:prior,samples", "benchmark:tables,figures,theory,degraded,unannounced,questions,alignment", "train",
  check=between(0, 2**32 - 1),
)  # fmt: skip
LIMIT = integer(
  "limit", 0, "So many pairs or images only, the first ones (benchmark tables: spread evenly over all); 0 takes all.",
  "evaluate:prior,fused,detection", "report",
  "benchmark:tables,figures,metrics,theory,degraded,unannounced,questions,alignment,brackets",
  check=at_least(0),
)  # fmt: skip

group("fuse")
LIST = boolean("list", False, "Print the pairs, a JSON line each, and run nothing.", "fuse")
EXAMPLES = path("examples", None, "Folder of pairs to take when --data is not given.", "fuse")
OVERWRITE = boolean("overwrite", False, "Write over results of other flags, weights or sources.", "fuse")
ONLY = enum("only", None, ["failed"], "Of the pairs that are to be done: `failed`, those that failed in an earlier "
            "run and were not done since.", "fuse")  # fmt: skip
BIT_DEPTH = integer(
  "bit_depth", 8, "Of the fused PNGs: 8, 16, or 0 for the deepest source's.", "fuse", check=one_of((8, 16, 0))
)
COLOUR = enum("colour", "luminance", ["luminance", "rgb"], "What is fused: luminance, or all of RGB.", *FUSES)
CHROMA_FROM = string("chroma_from", None, "Source whose chroma goes onto fused luminance; default: last.", *FUSES)
STRETCH = boolean("stretch", False, "Stretch fused images to the full range, as released DDFM and CCF do.", *FUSES)
RESULTS_IN = enum(
  "results", "files", RESULTS, "What fused images go into: PNG files, or shards of a kind, with the log's lines beside "
  "them. docs/stores.md.", "fuse",
)  # fmt: skip
SHARD = integer("shard", 1000, "Pairs in one shard of --results.", "fuse", check=between(1, 10**6))
SHEET = boolean("sheet", True, "Write a contact sheet of the first pairs.", "fuse")
MAPS = boolean("maps", False, "Write the weight maps, and CCF's selected conditions, as PNG.", "fuse")
TEMPERATURES = boolean(
  "temperatures", False, "Write the temperatures of a radiometric source (FLIR's JPEG) beside each image, as "
  "NAME_celsius.tif of floats. docs/formats.md.", "fuse",
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
  "steps", None, "Reverse steps (train: optimiser steps); 0: Dig2DIG without the loop.", *FUSES, "train",
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

# Restored with the prior before they are fused: docs/degraded.md.
group("degraded sources")
DEGRADATION = string("degradation", "", f"SOURCE:STAGES,...: {STAGES_HELP}.", "fuse")
SIGMA = string("sigma", "", "SOURCE:SIGMA,...: noise of each source, of 8-bit values, or auto.", "fuse")
RESTORE_STEPS = integer(
  "restore_steps", 8, "Evaluations per source that is more than noisy.", "fuse", DEGRADED, UNANNOUNCED, QUESTIONS,
  check=between(1, 1000),
)  # fmt: skip

# Brought onto each other before they are fused: docs/alignment.md.
group("alignment")
ALIGN = enum(
  "align", "off", ALIGNS, "Align the sources of each pair; auto: a similarity, and a little more.", "fuse", *SCORES
)
ALIGN_OR = enum(
  "align_or", "warn", ALIGN_ORS, "Where no alignment can be believed: warn and fuse them as they are, or skip.",
  "fuse", *SCORES,
)  # fmt: skip
TRANSFORMS = path("transforms", None, "File of dig2dig align: transforms to take for every pair.", "fuse", *SCORES)
REFERENCE = string("reference", "", "Source that the others are brought to; default: the largest.", "fuse", *SCORES)
RESIZE_BY = enum(
  "resize", "aspect", RESIZE, "Sources of other sizes, unless aligned: brought to the reference's where their aspects "
  "agree; stretch: whatever the aspect; off: refused.", "fuse", *SCORES,
)  # fmt: skip
DEGHOST_BY = enum(
  "deghost", "off", DEGHOST, "What moved between the sources is taken from one of them: from the best exposed, or the "
  "sharpest, or --reference. What the sources differ in otherwise.", "fuse",
)  # fmt: skip

group("machine")
BATCH_SIZE = integer(
  "batch_size", 1, "Most pairs per device and compiled call, in fuse 0 chooses; train: crops per step.",
  "fuse", "benchmark:tables", "train", check=between(0, 65536),
)  # fmt: skip
TILE = integer(
  "tile", None, "Side of the tiles in which the network is called, 0 for whole images; chosen by memory if unset.",
  "fuse", check=Check(lambda side: 0 <= side <= 65536 and side % 64 == 0, "a multiple of 64, or 0 for whole images"),
)  # fmt: skip
OVERLAP = integer("overlap", 128, "Of neighbouring tiles, in pixels.", "fuse", check=between(0, 32768))
SHARD_IMAGE = boolean(
  "shard_image", False, "Devices share the rows of each image, not the pairs: for large images, few of them.", "fuse",
)  # fmt: skip
BUCKET = integer(
  "bucket", 128, "Sides are mirrored up to multiples of this: fewer programs to compile.",
  "fuse", "benchmark:tables,figures,theory,degraded,unannounced,questions", check=between(1, 8192),
)  # fmt: skip
DTYPE = string(
  "dtype", "float32", f"Of the network's torso: {', '.join(DTYPES)}.", *PRIORS, "train", check=one_of(DTYPES)
)
KERNELS = enum(
  "kernels", "off", ["off", "on"], "Norms of small maps, on NVIDIA's GPUs also levels of pyramids, as one kernel each "
  "(docs/performance.md).",
  *PRIORS,
)  # fmt: skip
PRECISION = string("matmul_precision", "default", "JAX's default_matmul_precision.", *ALL)
CACHE = path("compile_cache", cache_folder(), "Folder of compiled programs; empty for none.", *ALL, empty=True)
DISTRIBUTED = boolean("distributed", False, "One of several processes, as the cluster tells.", "fuse", "train")
COORDINATOR = string(
  "coordinator", None, "HOST:PORT of process 0, where no cluster tells.", "fuse", "train",
  check=Check(lambda text: text.rpartition(":")[0] != "" and text.rpartition(":")[2].isdecimal(), "HOST:PORT"),
)  # fmt: skip
PROCESSES = integer(
  "num_processes", None, "How many processes, where no cluster tells.", "fuse", "train", check=at_least(1)
)
PROCESS = integer(
  "process_id", None, "Which of them this is, from 0, where no cluster tells.", "fuse", "train", check=at_least(0)
)

ENGINE = enum(
  "engine", "none", ENGINES, "What runs the pairs: this process, or the workers of a Ray cluster (--engine_address). "
  "docs/clusters.md.", "fuse",
)  # fmt: skip
ENGINE_WORKERS = string(
  "engine_workers", "1:", "Of --engine: LEAST:MOST workers; without MOST as many as there is room for.", "fuse"
)
ENGINE_ADDRESS = string(
  "engine_address", "", "Of --engine: HOST:PORT of a Ray cluster, auto for this machine's; where empty RAY_ADDRESS, "
  "else a cluster of this run's own.", "fuse",
)  # fmt: skip
ENGINE_RESOURCES = string(
  "engine_resources", "CPU:1", "Of --engine: what one worker takes, such as CPU:4,GPU:1 or TPU:4.", "fuse"
)

group("evaluate, report")
FUSED = paths("fused", None, "Folders of fused images or of a run's shards, of any program, one per method.", *SCORES)
PROTOCOL = names(
  "protocol", None, f"One of {', '.join(PROTOCOLS)} (panel); benchmark: one or more (panel,common).",
  "evaluate:fused", "report", "benchmark:tables",
)  # fmt: skip
WHICH_CONVENTION = names(
  "which_convention", [], "Printed numbers, as VIF:0.69,SSIM:0.91: by which definitions --fused gives them, in place "
  "of scores. docs/evaluation.md.", "evaluate:fused",
)  # fmt: skip
BASELINES = boolean("baselines", True, "Rows of trivial fusions, for comparison.", *SCORES)
LPIPS = path(
  "lpips", None, "Weights of LPIPS, of dig2dig convert lpips.", "evaluate:fused", "report", "benchmark:tables"
)
PAGE_MB = number("page_mb", 50, "Megabytes that the page's pictures may take; they shrink to fit.", "report",
                 check=above(0))  # fmt: skip
DETECTOR = path("detector", None, "ONNX model of a detector.", DETECTION)
DETECTOR_LAYOUT = enum("detector_layout", "yolov8", LAYOUTS, "Of the model's output.", DETECTION)
DETECTOR_SIZE = integer(
  "detector_size", 640, "Side of its input, where the model leaves it open.", DETECTION, check=between(1, 16384)
)
DETECTOR_CLASSES = names("detector_classes", [], "Its class for each category of the labels, ascending.", DETECTION)
LABELS = path("labels", None, "Folder of YOLO's NAME.txt or Pascal VOC's NAME.xml, or COCO's .json.", DETECTION)
CLASSICAL = boolean("classical", True, "Score classical denoisers too, which takes long.", "evaluate:prior")
SAMPLES = integer("samples", 16, "How many to draw.", "evaluate:samples", check=between(1, 65536))
SAMPLE_SIZE = integer(
  "sample_size", 128, "Side of the unconditional samples in pixels.", "evaluate:samples", "train:prior",
  check=between(1, 8192),
)  # fmt: skip
SAMPLE_STEPS = integer(
  "sample_steps", 250, "Steps of the unconditional samples; train: 0 draws none.", "evaluate:samples", "train:prior",
  check=between(0, 10**6),
)  # fmt: skip

group("benchmark")
TABLE = names(
  "table", "methods", f"all, or names among {', '.join(TABLES)}; or peers, other programs on the same pairs.",
  "benchmark:tables", check=_SOME_NAME,
)  # fmt: skip
PEERS = path(
  "peers", None, "Of --table=peers: a TOML file of other programs, or a folder of their checkouts. docs/peers.md.",
  "benchmark:tables",
)  # fmt: skip
ROWS = string(
  "rows", "", "Rows of the table to run, separated by semicolons, * for any letters; all if empty.", "benchmark:tables"
)  # fmt: skip
SCORED = paths(
  "scored", None, "Folders that --table=spectrum (left_out) or --table=clean (ranks) wrote, one per data set.",
  "benchmark:left_out,ranks",
)  # fmt: skip
FIGURE = names("figure", [], "1, 5 or both: gains over the noise levels, in place of tables.", "benchmark:figures")
BOXES = string("boxes", "", "name:left,top,width,height;name:..., in pixels.", "benchmark:figures")
CASES = names(
  "cases", None, "Degradations, questions, cameras (mounted, unknown; those of pairs whose registration is known: "
  "registered_mounted, made_mounted and so on), or brackets (real, lopsided), by name; all by default, of cameras the "
  "first two.",
  DEGRADED, UNANNOUNCED, QUESTIONS, ALIGNMENT, BRACKETS, check=_SOME_NAME,
)  # fmt: skip
AFFECTED = names("affected", None, "Of first, second, both: sources degraded; all by default.", UNANNOUNCED)
_MIDDLE = Check(lambda side: side == 0 or 32 <= side <= 65536, "0, or 32 pixels and more")
MIDDLE = integer("middle", 0, "Side of the square taken of pairs; 0: all.", "benchmark:tables", DEGRADED, UNANNOUNCED,
                 QUESTIONS, BRACKETS, check=_MIDDLE)  # fmt: skip
HELD_OUT = boolean("held_out", False, "Pairs that DRFusion's training left out.", DEGRADED)
DRFUSION_PRIOR = path("drfusion", None, "DRFusion checkpoint for its row.", DEGRADED)
SIZES = names("sizes", ["512x384"], "WIDTHxHEIGHT of the pairs.", SPEED)
BATCH_SIZES = names("batch_sizes", ["1"], "Pairs per compiled call.", SPEED)
SPEED_DTYPES = names("dtypes", None, "Of the torso; --dtype if not given.", SPEED, check=one_of(DTYPES))
REPEATS = integer("repeats", 3, "Timed runs, of which the median counts.", SPEED, check=between(1, 10**6))
PROFILE = boolean("profile", False, "Say what the time goes to, by kind of kernel.", SPEED)
RANDOM_PRIOR = string("random_prior", None, "Random weights of a layout: official name, or convert's --config.", SPEED)
PEER = path("peer", None, "Checkout of MMIF-DDFM to run beside, in PyTorch.", SPEED)
PEER_STEPS = integer("peer_steps", 100, "Steps really run of the peer's 100.", SPEED, check=between(1, 100))

group("train")
NETWORK = enum(
  "network", "prior", ["prior", "drfusion", "swift"], "A diffusion prior, DRFusion's, or the one that stands in for a "
  "prior where it must be quick (--gains=swift).", "train",
)  # fmt: skip
CACHED = integer(
  "cached_crops", 3072, "Crops that the prior is asked about, once.", "train:swift", check=between(64, 10**6)
)
LEARNING_RATE = number("learning_rate", 5e-4, "Peak of the schedule.", "train", check=above(0))
CROP_SIZE = integer("crop_size", 64, "Side of a crop in pixels.", "train", check=between(1, 8192))
SAVE_EVERY = integer("save_every", 500, "Steps between checkpoints.", "train", check=at_least(1))
ACCUMULATE = integer(
  "accumulate", 1, "Parts that a batch is taken in, for less memory.", "train", check=between(1, 65536)
)
DECAY_SHARE = number(
  "decay_share", 0.5, "Last share of the steps, in which the rate falls.", "train",
  check=Check(lambda share: 0 < share <= 1, "above 0 and at most 1"),
)  # fmt: skip
SHEET_EVERY = integer(
  "sheet_every", 0, "Steps between sheets; 0 writes them at the end.", "train", check=at_least(0)
)
WIDTH = integer("width", None, "Channels of the network's first level.", "train", check=between(1, 8192))
INIT = path("init", None, "Prior whose weights to start from; a resumed run has its own.", "train")
RESUME = boolean("resume", False, "Go on from the last checkpoint in --out.", "train")
CHANNEL_MULT = names("channel_mult", None, "Width of each level, as multiples of --width.", "train:prior")
BLOCKS = integer("blocks", None, "Residual blocks per level.", "train:prior", check=between(1, 64))
PATCH = integer("patch", None, "Side of the space-to-depth stem, 1 for none.", "train:prior", check=between(1, 64))
MIDDLE_ATTENTION = boolean("middle_attention", None, "Attention at the lowest resolution.", "train:prior")
FAMILIES_OF = names(
  "families", None, "Degradations to draw from; all by default.", "train:drfusion", check=_SOME_NAME
)
NORM_GROUPS = integer("norm_groups", None, "Groups of its norms (32).", "train:drfusion", check=between(1, 8192))
FULL_EVERY = integer(
  "full_every", 1, "Every so manieth pair runs all reverse steps, the others the last one alone.", "train:drfusion",
  check=between(1, 65536),
)  # fmt: skip
DETACH = boolean(
  "detach", False, "The fused image's losses do not pull at the restored sources it is held against.", "train:drfusion"
)
DROPOUT = number(
  "dropout", None, "Share of features dropped (0.1).", "train:drfusion",
  check=Check(lambda share: 0 <= share < 1, "from 0 to less than 1"),
)  # fmt: skip
RECOMPUTE = boolean(
  "recompute", True, "Evaluate the network again for its gradient, for a third of the memory.", "train:drfusion"
)
