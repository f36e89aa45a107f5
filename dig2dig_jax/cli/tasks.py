"""Which task is it, and which flags does that give? What was asked for, or what was guessed, and then it is said."""

from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.assets import ROOT
from dig2dig_jax.cli.output import note
from dig2dig_jax.data import guess, palette
from dig2dig_jax.data.images import read_decoded
from dig2dig_jax.data.ranges import read_alone
from dig2dig_jax.errors import UserError


def decided(task: str | None, found: guess.Guess | None, count: int) -> tuple[str, tuple[int, ...]]:
  """(task, order of the sources), and a line about what was inferred."""
  order = found.order if found is not None and task in (None, found.task) else tuple(range(count))
  if task is None:
    if found is None:
      raise UserError("dig2dig fuse: expected --task=thermal, medical, focus or exposure, found nothing to infer "
                      "it from")
    task = found.task
    note(f"note: task {task}, by {found.why}; --task= overrides this")
  if task in ("thermal", "medical") and count > 2:
    raise UserError(f"--task={task}: expected two sources, found {count}; fuse them one after another, or use "
                    "another --task")
  return task, order


def by_look(files: Sequence[Path]) -> guess.Guess:
  """What the images of one scene are, by themselves: `guess.by_images`, but for a thermal camera's in false colour."""
  found = guess.by_images([guess.reduced(read_alone(file).pixels) for file in files])
  if found.task == "medical" or len(files) != 2:  # PET and SPECT come in such colours too
    return found
  shown = [(k, name) for k, file in enumerate(files) if (name := palette.recognise(read_decoded(file).samples))]
  if len(shown) != 1:
    return found
  ((k, name),) = shown
  return guess.Guess("thermal", (k, 1 - k), f"the palette {name} in {files[k].name}")


def settings(task: str, sources: Sequence[str] | None) -> list[str]:
  """The task's flag file, told which source is which."""
  flags = [f"--flagfile={ROOT / guess.TASKS[task]}.flags", "--job=fuse"]
  if sources is not None:
    flags.append(f"--sources={','.join(sources)}")
    if task == "thermal":
      flags += [f"--functional={sources[0]}", f"--chroma_from={sources[1]}"]
  return flags
