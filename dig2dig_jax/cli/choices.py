"""Which names may flags have as values? Said here so that help needs no JAX; `tests/cli/test_choices.py` holds them
against the parts that they name."""

TABLES = ("methods", "clean", "3", "4", "5", "temperature", "schedule", "noise", "savings", "spectrum", "reading")
PROTOCOLS = ("panel", "ddfm", "dig2dig", "targets", "common", "all")
DATASETS = (
  "folders", "names", "stacks", "llvip", "m3fd", "msrs", "roadscene", "tno", "vifb",
  "mfifb", "lytro", "mffw", "mefb", "sice", "harvard", "webdataset", "parquet", "array_record",
)  # fmt: skip
RESULTS = ("files", "webdataset", "parquet", "array_record")
ENGINES = ("none", "ray")
LAYOUTS = ("yolov5", "yolov8", "boxes")
DTYPES = ("float32", "bfloat16", "float16")
ALIGN = ("off", "auto", "flow", "translation", "similarity", "affine", "homography")
ALIGN_OR = ("warn", "skip")
RESIZE = ("aspect", "stretch", "off")
DEGHOST = ("off", "exposure", "focus")
VALID = ("auto", "alpha", "off")
STAGES_HELP = (
  "none, or stages joined by +: blur(SIGMA), motion(LENGTH,ANGLE), kernel(FILE), average(SCALE), bicubic(SCALE), "
  "enlarged(SCALE,KERNEL), mask(FILE), rows(I,...), columns(I,...)"
)
