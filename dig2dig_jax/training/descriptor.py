"""How is the descriptor of the alignment taught? To make the right displacements of blocks likely.

  python -m dig2dig_jax.training.descriptor --data=PAIRS[,PAIRS] --photographs=FOLDER -o FOLDER
                                            [--sources=vi,ir] [--steps=2500] [--pairs=::] [--seed=0] [--start=FILE]
  python -m dig2dig_jax.training.descriptor --data=PAIRS[,PAIRS] --measure [--sources=vi,ir] [--pairs=::]

The loss is the negative gain in nats by which `alignment.fit` measures a transform, of blocks whose displacement is
known (`training.descriptor_examples`). Registered pairs are aligned first, with the descriptor that comes with the
package, since published registrations are off by pixels; those whose alignment is refused are left out. `--pairs` takes
some of each folder, as a slice in Python does: `::2` every second pair, `10:` those after the tenth. The others are
left to be measured on. `--start` begins with the weights of a file, as those for scans did, instead of random ones.
Writes model.npz and log.jsonl into FOLDER.

`--measure` prints the mean gain of the blocks of each folder's pairs with orientated structure alone and with the
descriptor that comes with the package, for those that `--pairs` takes and for the others.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from dig2dig_jax.alignment import descriptor, fit, surfaces
from dig2dig_jax.alignment.estimate import REACH, estimate
from dig2dig_jax.alignment.estimate import seen as with_masks
from dig2dig_jax.alignment.levels import are_scans, luminance
from dig2dig_jax.data import other_kinds
from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.data.images import list_images, read_image
from dig2dig_jax.errors import UserError, one_line
from dig2dig_jax.escape import table
from dig2dig_jax.files import replacing
from dig2dig_jax.models.descriptor import DescriptorNet
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.training.descriptor_examples import SIDES, Example, Pair, draw, example

BLOCKS = 15  # of every example
WIDTH = 1.5  # pixels: of the window at the end of a fit
RATE, NORM = 2e-3, 1.0  # learning rate, which falls to 0 as a cosine, and the norm that gradients are clipped to
_LOGGED = 100  # steps


def gains(params: descriptor.Params | None, seen: Example) -> jax.Array:
  """[N] nats, of each block at its true displacement."""
  reference, source = seen.reference, seen.source
  maps, other = (descriptor.maps(params, one.gray, one.mask) for one in (reference, source))
  likely = surfaces.correlated(maps, other, source.mask, seen.corners, REACH)
  return fit.gains(likely, seen.displacements, WIDTH)


def train(
  pairs: Sequence[Pair], photographs: Sequence[np.ndarray], out: Path, *, steps: int, seed: int = 0,
  start: descriptor.Params | None = None,
) -> None:  # fmt: skip
  """Writes model.npz and log.jsonl into `out`. photographs: uint8 [H, W]. start: random by default."""
  params = initial(seed) if start is None else jax.tree.map(jnp.asarray, start)
  optimizer = optax.chain(optax.clip_by_global_norm(NORM), optax.adam(optax.cosine_decay_schedule(RATE, steps)))
  state, lines, found = optimizer.init(params), [], []

  @jax.jit
  def step(params, state, seen):
    loss, gradient = jax.value_and_grad(lambda params: -gains(params, seen).mean())(params)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, -loss

  for index in tqdm(range(steps), unit="step", disable=None):
    params, state, gain = step(params, state, draw(pairs, photographs, BLOCKS, seed, index))
    found.append(gain)
    if (index + 1) % _LOGGED == 0 or index + 1 == steps:
      lines.append(json.dumps({"step": index + 1, "gain": round(float(np.mean(jax.device_get(found))), 4)}))
      found = []
  make_folder(out)
  write_text(out / "log.jsonl", "\n".join(lines) + "\n")
  write(out / "model.npz", params)


def initial(seed: int) -> descriptor.Params:
  """Random, with an answer near 0."""
  return DescriptorNet().init(jax.random.key(seed), jnp.zeros((1, 8, 8, descriptor.CHANNELS)))["params"]


def write(path: Path, params: descriptor.Params) -> None:
  """The file that `descriptor.embedded` reads."""
  arrays = {f"{layer}/{name}": np.asarray(leaf, np.float32)
            for layer, leaves in params.items() for name, leaf in leaves.items()}  # fmt: skip
  with replacing(path) as temporary, temporary.open("wb") as file:
    np.savez(file, **arrays)


def registered(folder: Path, sources: tuple[str, ...], places: slice, *, others: bool = False) -> list[Pair]:
  """Pairs of a folder that can be aligned, each as it is aligned; a line for those that cannot. places: which pairs, or
  which not, with `others`."""
  found = []
  pairs, left_out = DataConfig(folder, sources).find()
  for line in left_out:
    print(f"note: {line}", file=sys.stderr)
  taken = set(range(len(pairs))[places])
  chosen = [pair for number, pair in enumerate(pairs) if (number in taken) != others]
  for pair in tqdm(chosen, unit="pair", desc=folder.name, disable=None):
    reference, source = (127.5 * luminance(image.pixels) + 127.5 for image in list(pair.read().values())[:2])
    own = estimate(reference, source)
    if own.accepted:
      found.append(Pair(reference, source, own.matrix))
    else:
      print(f"note: {folder.name}/{pair.name} cannot be aligned, left out", file=sys.stderr)
  return found


def measured(folders: Sequence[Path], sources: tuple[str, ...], places: slice) -> str:
  """The table that `--measure` prints."""
  of, rows = jax.jit(gains), []
  for folder in folders:
    for name, others in (("taken", False), ("others", True)):
      pairs = registered(folder, sources, places, others=others)
      if not pairs:
        continue
      rng = np.random.default_rng(0)
      seen = [example(pair, SIDES[-1], BLOCKS, rng) for pair in pairs]
      learned = [descriptor.embedded(are_scans(*with_masks(pair.reference, pair.source, None, None))) for pair in pairs]
      means = [np.mean(list(map(of, params, seen))) for params in ([None] * len(pairs), learned)]
      rows.append([folder.name, name, str(len(pairs)), *(f"{mean:.2f}" for mean in means)])
  return table(["set", "pairs", "number", "edges alone, nats", "descriptor, nats"], rows, text=2)


def _slice(text: str) -> slice:
  """UserError for anything but two or three whole numbers, or nothing, between colons."""
  try:
    parts = [int(part) if part else None for part in text.split(":")]
    if not 2 <= len(parts) <= 3 or 0 in parts[2:]:
      raise ValueError
  except ValueError:
    raise UserError(f"--pairs={text}: expected a slice of Python, such as ::2 or 10:") from None
  return slice(*parts)


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="python -m dig2dig_jax.training.descriptor", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  parser.add_argument("--data", required=True, metavar="PAIRS[,PAIRS]", help="folders of registered pairs")
  parser.add_argument("--photographs", type=Path, metavar="FOLDER")
  parser.add_argument("-o", "--out", type=Path, metavar="FOLDER")
  parser.add_argument("--measure", action="store_true", help="print gains instead")
  parser.add_argument("--sources", default="vi,ir", help="the reference first")
  parser.add_argument("--steps", type=int, default=2500)
  parser.add_argument("--pairs", default="::", metavar="SLICE", help="which pairs of each folder")
  parser.add_argument("--start", type=Path, metavar="FILE", help="weights to begin with")
  parser.add_argument("--seed", type=int, default=0)
  given = parser.parse_args(arguments)
  folders, sources = [Path(name) for name in given.data.split(",")], tuple(given.sources.split(","))
  try:
    if given.steps < 1:
      raise UserError(f"--steps={given.steps}: expected 1 or more")
    places = _slice(given.pairs)
    start = None if given.start is None else descriptor.read(given.start)
    if given.measure:
      print(measured(folders, sources, places), end="")
      return 0
    if given.photographs is None or given.out is None:
      raise UserError("expected --photographs=FOLDER and --out=FOLDER to train, or --measure, found one or none")
    pairs = [pair for folder in folders for pair in registered(folder, sources, places)]
    photographs = [other_kinds.digital(127.5 * luminance(read_image(path).pixels) + 127.5)
                   for path in list_images(given.photographs)]  # fmt: skip
    if not pairs or not photographs:
      raise UserError(f"--data, --photographs: expected pairs that can be aligned and photographs, found {len(pairs)} "
                      f"and {len(photographs)}")  # fmt: skip
    train(pairs, photographs, given.out, steps=given.steps, seed=given.seed, start=start)
  except UserError as error:
    print(f"error: {one_line(error)}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main())
