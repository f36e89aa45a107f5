"""--job=evaluate: fused images by any program, a detector on them, or a prior."""

from pathlib import Path

from dig2dig_jax.cli import common, flags, usage
from dig2dig_jax.cli.output import say
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import candidates, denoising, detection, fused, samples, which_convention
from dig2dig_jax.evaluation.detector import Detector


def run() -> int:
  suite = usage.job().partition(":")[2]
  if suite == "detection":
    return _evaluate_detection()
  if suite == "fused":
    return _evaluate_fused()
  prior, out, seed = common.prior(), Path(flags.OUT.value), flags.SEED.value
  if suite == "samples":
    transition = flags.OPTIONS["transition"].value or "ancestral"
    options = {"count": flags.SAMPLES.value, "size": flags.SAMPLE_SIZE.value, "steps": flags.SAMPLE_STEPS.value}
    options["colours_of"] = Path(flags.DATA.value) if flags.DATA.value else None
    say(f"samples written to {samples.run(prior, out, transition=transition, seed=seed, **options)}")
  else:
    options = {"limit": flags.LIMIT.value, "classical": flags.CLASSICAL.value}
    say(denoising.run(prior, common.data(), out, seed=seed, **options))
  return 0


def _evaluate_fused() -> int:
  if flags.WHICH_CONVENTION.value:
    printed = candidates.parse(flags.WHICH_CONVENTION.value)
    folders, data, arguments = common.fused_arguments()
    told = which_convention.run(folders, data, Path(flags.OUT.value), printed, limit=arguments["limit"])
    return common.finish(told, told.text)
  folders, data, arguments = common.fused_arguments()
  found = fused.run(folders, data, Path(flags.OUT.value), **arguments)
  return common.finish(found, found.text)


def _evaluate_detection() -> int:
  if not flags.DETECTOR.value or not flags.LABELS.value:
    raise UserError("--suite=detection: expected --detector=MODEL.onnx and --labels=FOLDER or FILE.json")
  finder = Detector(Path(flags.DETECTOR.value), layout=flags.DETECTOR_LAYOUT.value, size=flags.DETECTOR_SIZE.value)
  folders, data, _ = common.fused_arguments()
  classes = tuple(common.whole("detector_classes", text) for text in flags.DETECTOR_CLASSES.value)
  options = {"classes": classes, "baselines": flags.BASELINES.value, "limit": flags.LIMIT.value}
  labels, out = Path(flags.LABELS.value), Path(flags.OUT.value)
  found = detection.run(folders, data, labels, out, finder, **options)
  return common.finish(found, found.text)
