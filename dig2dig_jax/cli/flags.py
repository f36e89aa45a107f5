"""Which flags are there? All of them, with their defaults; the other files of this folder read them, nobody else."""

import os
from pathlib import Path

from absl import flags

from dig2dig_jax.data.readers import READERS
from dig2dig_jax.jobs.ablations import TABLES
from dig2dig_jax.jobs.degradation import STAGES_HELP
from dig2dig_jax.jobs.detector import LAYOUTS
from dig2dig_jax.methods.registry import METHODS
from dig2dig_jax.metrics import PROTOCOLS

JOBS = ("fuse", "evaluate", "report", "benchmark", "train")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dig2dig_jax" / "programs"

# Input and output.
JOB = flags.DEFINE_enum("job", "fuse", JOBS, "What to do.")
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
RANGE = flags.DEFINE_string(
  "range", "", "Stored values that are black and white: auto, shared, full or LOW:HIGH, or SOURCE:... for one source, "
  "separated by commas; chosen, and said, where more than 8 bits are read. docs/batch_runs.md."
)  # fmt: skip
BIT_DEPTH = flags.DEFINE_integer("bit_depth", 8, "Of the fused PNGs: 8, 16, or 0 for the deepest source's.")
COLOUR = flags.DEFINE_enum("colour", "luminance", ["luminance", "rgb"], "What is fused: luminance, or all of RGB.")
CHROMA_FROM = flags.DEFINE_string("chroma_from", None, "Source whose chroma goes onto fused luminance; default: last.")
STRETCH = flags.DEFINE_bool("stretch", False, "Stretch fused images to the full range, as released DDFM and CCF do.")
SHEET = flags.DEFINE_bool("sheet", True, "Write a contact sheet of the first pairs.")
MAPS = flags.DEFINE_bool("maps", False, "Write the weight maps, and CCF's selected conditions, as PNG.")

# The method. Without a flag, the method's own paper decides; flag files hold the tuned values.
METHOD = flags.DEFINE_enum("method", "dig2dig", list(METHODS), "Fusion method.")
FAST = flags.DEFINE_bool("fast", False, "dig2dig: one pass without reverse steps; docs/performance.md.")
STEPS = flags.DEFINE_integer("steps", None, "Reverse steps (train: optimiser steps); 0: Dig2DIG without the loop.")
OPTIONS = {  # name of the option -> its flag
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
  "scale": flags.DEFINE_integer("dig_scale", None, "Gains of sources made smaller by this factor, 1 to 8."),
  "reuse": flags.DEFINE_integer("reuse", None, "Steps from one whole pass of the network to the next (DeepCache)."),
  "chunk": flags.DEFINE_integer("dig_chunk", None, "Network calls per batch of the gains; 0 chooses."),
  "guidance": flags.DEFINE_string("guidance", None, "dig2dig: quadratic, or dps with the network's gradient."),
  "strength": flags.DEFINE_float("strength", None, "dig2dig: lambda; of the likelihood schedule the variance r^2."),
  "strength_schedule": flags.DEFINE_string("strength_schedule", None, "dig2dig: constant or likelihood."),
  "bands": flags.DEFINE_integer("bands", None, "dig2dig: levels of the pyramid of the blend; 1: pixels."),
  "base": flags.DEFINE_string("base", None, "dig2dig: weights of the coarsest band: uniform, dig, mean, brightest."),
  "salience": flags.DEFINE_float("salience", None, "dig2dig: a band's local energy beside the gains; 0: gains alone."),
  "brightness": flags.DEFINE_float("brightness", None, "dig2dig: a source's local brightness beside them; 0: not."),
  "em_lambda": flags.DEFINE_float("em_lambda", None, "ddfm: lambda, weight of the total variation's splitting."),
  "em_rho": flags.DEFINE_float("em_rho", None, "ddfm: rho, of the same."),
  "em_colour": flags.DEFINE_string("em_colour", None, "ddfm: corrected, or released for the script's YCbCr scale."),
  "em_roles": flags.DEFINE_string("em_roles", None, "ddfm: paper, or released for the script's swapped sources."),
  "conditions": flags.DEFINE_list("conditions", None, "ccf: names of the conditions to select from."),
  "top_k": flags.DEFINE_integer("ccf_top_k", None, "ccf: conditions that act at a step."),
  "rate": flags.DEFINE_float("ccf_rate", None, "ccf: rate of Adam on the image."),
  "sigma_y": flags.DEFINE_float("drfusion_sigma_y", None, "drfusion: noise that its corrections assume, of [0, 1]."),
  "ensemble": flags.DEFINE_bool("drfusion_ensemble", None, "drfusion: mean over the image and its mirror images."),
  "output": flags.DEFINE_string("drfusion_output", None, "drfusion: fused, first, second (as restored), channels."),
}

# Degraded sources: restored with the prior before they are fused. docs/degraded.md.
DEGRADATION = flags.DEFINE_string("degradation", "", f"SOURCE:STAGES,...: {STAGES_HELP}.")
SIGMA = flags.DEFINE_string("sigma", "", "SOURCE:SIGMA,...: noise of each source, of 8-bit values, or auto.")
OF_SOURCE = {  # the same for the usual names: --degradation_ir=..., --sigma_ir=...
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
CASES = flags.DEFINE_list("cases", None, "benchmark --suite=degraded: degradations, by name; all by default.")
MIDDLE = flags.DEFINE_integer("middle", 0, "benchmark --suite=degraded: side of the square taken of pairs; 0: all.")
HELD_OUT = flags.DEFINE_bool("held_out", False, "benchmark --suite=degraded: pairs that DRFusion's training left out.")
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
PROFILE = flags.DEFINE_bool("profile", False, "benchmark --suite=speed: say what the time goes to, by kind of kernel.")
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
FAMILIES_OF = flags.DEFINE_list("families", None, "train drfusion: degradations to draw from; all by default.")
WIDTH = flags.DEFINE_integer("width", None, "train: channels of the network's first level.")
NORM_GROUPS = flags.DEFINE_integer("norm_groups", None, "train drfusion: groups of its norms (32).")
FULL_EVERY = flags.DEFINE_integer(
  "full_every", 1, "train drfusion: every so manieth pair runs all reverse steps, the others the last one alone."
)
DETACH = flags.DEFINE_bool(
  "detach", False, "train drfusion: the fused image's losses do not pull at the restored sources it is held against."
)
DROPOUT = flags.DEFINE_float("dropout", None, "train drfusion: share of features dropped (0.1).")
RECOMPUTE = flags.DEFINE_bool(
  "recompute", True, "train drfusion: evaluate the network again for its gradient, for a third of the memory."
)
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
