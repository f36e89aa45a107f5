"""Which flags fuse a folder? Those of what it holds, which is looked for, and said."""

from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.cli import tasks
from dig2dig_jax.cli.output import note
from dig2dig_jax.data import guess, layouts
from dig2dig_jax.data.layouts import Layout
from dig2dig_jax.errors import UserError

_ONE_SCENE = 0.2  # correlation of ranks that neighbours of a stack have at least


def flags(folder: Path, task: str | None, sources: str | None, given: Sequence[str]) -> list[str]:
  """Of launch.py. task, sources: as they were asked for. given: all flags that were typed."""
  if sources is not None:
    names = sources.split(",")
    named = guess.by_names(names)
    task = task or (named.task if named else "thermal")
    order = named.order if named is not None and named.task == task else range(len(names))
    # Behind them --sources as it was typed: the order is the user's, which of them is the infrared one is the names'.
    settings = tasks.settings(task, [names[k] for k in order] if len(names) > 1 else None)
    return [*settings, f"--data={folder}", *given]
  found = layouts.look(folder, task)
  for line in found.left_out:
    note(f"note: {line}; --sources= names the folders to read")
  if found.dataset == "folders" and not found.first:  # its folders are called what they are
    task, order = tasks.decided(task, guess.Guess(found.task, tuple(range(len(found.sources))), found.why), 2)
    return [*tasks.settings(task, [found.sources[k] for k in order]), f"--data={found.root}", *given]
  task, order = _task(found, task)
  if found.dataset != "folders":
    note(f"note: {found.root}: {found.why}, read as --dataset={found.dataset}; --sources= or --manifest= says "
         "otherwise")  # fmt: skip
  reader = [f"--data={found.root}", f"--dataset={found.dataset}"]
  if found.dataset != "stacks":
    return [*tasks.settings(task, [found.sources[k] for k in order]), *reader, *given]
  names = guess.usual_names(task, len(order))
  in_order_of_files = [names[order.index(k)] for k in range(len(order))]
  return [*tasks.settings(task, names), f"--sources={','.join(in_order_of_files)}", *reader, *given]


def _task(found: Layout, task: str | None) -> tuple[str, tuple[int, ...]]:
  """(task, order of the sources): by names, by EXIF, or by the first scene's images. UserError for a stack of images
  that do not show one scene, unless the user specifies what they are."""
  count = len(found.sources)
  if found.task is not None:
    return tasks.decided(task, guess.Guess(found.task, tuple(range(count)), found.why), count)
  if task is not None:
    return tasks.decided(task, None, count)
  if found.dataset == "stacks" and not found.sure and (alike := guess.alike(found.first)) < _ONE_SCENE:
    some = ", ".join(path.name for path in found.first[:3])
    raise UserError(f"{found.root}: expected images of one scene, found {count} that are not alike ({some}; "
                    f"correlation {alike:.2f}); put each scene into a folder of its own, name pairs "
                    "alike (0001_ir, 0001_vi), or say that it is one with --task=")
  return tasks.decided(None, tasks.by_look(found.first), count)
