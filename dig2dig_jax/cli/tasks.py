"""Which task is it, and which flags does that give? What was asked for, or what was guessed, and then it is said."""

from collections.abc import Sequence

from dig2dig_jax.assets import ROOT
from dig2dig_jax.cli.output import note
from dig2dig_jax.data import guess
from dig2dig_jax.errors import UserError


def decided(task: str | None, found: guess.Guess | None, count: int) -> tuple[str, tuple[int, ...]]:
  """(task, order of the sources), and a line about what was not asked for."""
  order = found.order if found is not None and task in (None, found.task) else tuple(range(count))
  if task is None:
    if found is None:
      raise UserError("dig2dig fuse: expected --task=thermal, medical, focus or exposure, found nothing to guess it by")
    task = found.task
    note(f"note: task {task}, by {found.why}; --task= says otherwise")
  if task in ("thermal", "medical") and count > 2:
    raise UserError(f"--task={task}: expected two sources, found {count}; fuse them in turn, or take another --task")
  return task, order


def settings(task: str, sources: Sequence[str] | None) -> list[str]:
  """The task's flag file, told which source is which."""
  flags = [f"--flagfile={ROOT / guess.TASKS[task]}.flags", "--job=fuse"]
  if sources is not None:
    flags.append(f"--sources={','.join(sources)}")
    if task == "thermal":
      flags += [f"--functional={sources[0]}", f"--chroma_from={sources[1]}"]
  return flags
