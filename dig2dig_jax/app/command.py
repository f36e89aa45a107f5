"""What would do the same without the page? A command, a file of flags, and the transforms that both may need."""

import shlex
from collections.abc import Sequence

from dig2dig_jax.app.controls import CONTROLS, Settings
from dig2dig_jax.app.scene import NAME
from dig2dig_jax.assets import ROOT
from dig2dig_jax.data import guess
from dig2dig_jax.methods.option import declared
from dig2dig_jax.methods.options import Dig2DigOptions

TRANSFORMS = "transforms.json"
FLAGS = "settings.flags"
_FLAG = {name: found.flag for name, found in declared(Dig2DigOptions)}


def command(settings: Settings, names: Sequence[str], *, bit_depth: int = 8, prior: str = "") -> str:
  """A line for a shell. names: of the files, in the task's order. prior: folder, where it is not the embedded one."""
  files = [f"./{name}" if name[:1] in ("-", "~") else name for name in names]
  flags = [f"--{name}={value}" for name, value in changed(settings, len(names)).items()]
  flags += [f"--bit_depth={bit_depth}"] if bit_depth != 8 else []
  flags += [f"--prior={prior}"] if prior else []
  return shlex.join(["dig2dig", "fuse", *files, "-o", f"{NAME}.png", f"--task={settings.task}", *flags])


def changed(settings: Settings, count: int) -> dict[str, str]:
  """{flag: value} where the settings are not the task's."""
  tuned, names = settings.preset, guess.usual_names(settings.task, count)
  found = {}
  for control in CONTROLS:
    value = getattr(settings.options, control.name)
    if value != getattr(tuned.options, control.name):
      found[_FLAG[control.name]] = f"{value:.10g}" if isinstance(value, float) else str(value)
  if settings.swapped:
    found |= {"functional": names[settings.options.functional], "chroma_from": names[0]}
  if settings.range != tuned.value_range:
    found["range"] = settings.range
  if settings.valid != tuned.valid:
    found["valid"] = settings.valid
  if settings.colormap:
    found["colormap"] = settings.colormap
  if settings.align == "hand":
    found["transforms"] = TRANSFORMS
  elif settings.align != "off":
    found["align"] = settings.align
  return found


def flag_file(settings: Settings, count: int) -> str:
  """The task's flag file with these settings in it."""
  own = (ROOT / f"{guess.TASKS[settings.task]}.flags").read_text(encoding="utf-8").splitlines()
  names = ",".join(guess.usual_names(settings.task, count))
  new = {"sources": names, **changed(settings, count)}
  kept = [line for line in own if line.startswith("--") and line[2:].partition("=")[0] not in (*new, "examples")]
  head = [f"# Set on the page of dig2dig app, for {settings.task}. One folder per source, or see docs/batch_runs.md:",
          f"# dig2dig fuse --flagfile={FLAGS} --data=FOLDER -o OUT"]  # fmt: skip
  return "\n".join([*head, *kept, *(f"--{name}={value}" for name, value in new.items())]) + "\n"
