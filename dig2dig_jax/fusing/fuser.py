"""How does a method run on the devices of this process? Compiled per shape, pairs split over devices, fitted to memory.

The only place with a batch axis: `jit(vmap(fuse))`, one program per shape, parameters as arguments on every device.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import faults, memory
from dig2dig_jax.fusing.programs import Programs
from dig2dig_jax.methods.base import Method
from dig2dig_jax.methods.fuse import FusionTrace, fuse
from dig2dig_jax.sampling.tiling import tiled
from dig2dig_jax.sampling.types import Denoiser, StatefulDenoiser

TILES = (1024, 512, 256)  # sides tried in turn for an image that does not fit as a whole
MOST_PAIRS = 8  # per device, where the batch size is chosen: more are not faster and cost memory
# What a program raises: faults of the device, and JAX's errors for arguments that a stored program does not accept.
_OF_DEVICE = (jax.errors.JaxRuntimeError, ValueError, TypeError)


class Plan(NamedTuple):
  """How a shape runs: pairs per call over all devices, side of the network's tiles (0: whole images)."""

  batch: int
  tile: int


class Fuser:
  """A method compiled per batch shape. Call with (images [B, K, H, W, 3], ids [B]) -> (fused [B, H, W, 3], trace).

  Args:
    method, params: what to run.
    seed: of all randomness; a pair's own is fold_in(key(seed), id).
    devices: that share a batch; the first of this process if None.
    keep: selects from a pair's FusionTrace on the device, so that the rest need not be copied.
    tile: side of the network's tiles; 0 for none; None for whole images where they fit memory, else `TILES`.
    overlap: of neighbouring tiles, in pixels.
    programs: store of compiled programs; none if None.
    compiling: called with the shape [B, K, H, W, 3] of a program that is about to be compiled.
    shard_image: the devices share the rows of each image, not the pairs of a batch; the image is that of one device to
      rounding. UserError with one device, or with tiles.
  """

  def __init__(
    self,
    method: Method,
    params,
    *,
    seed: int,
    devices: Sequence[jax.Device] | None = None,
    keep: Callable[[FusionTrace], Any] = lambda trace: trace,
    tile: int | None = 0,
    overlap: int = 0,
    programs: Programs | None = None,
    compiling: Callable[[tuple[int, ...]], None] = lambda shape: None,
    shard_image: bool = False,
  ):
    self.devices = list(devices or jax.local_devices()[:1])
    if shard_image and (len(self.devices) == 1 or tile):
      found = f"--tile={tile}" if tile else "one"
      raise UserError(f"--shard_image: expected several devices and no tiles, found {found}; leave it out")
    self._shard_image = shard_image
    self._sharing = 1 if shard_image else len(self.devices)  # devices with pairs of their own
    mesh = jax.make_mesh((len(self.devices),), ("pairs",), axis_types=(AxisType.Auto,), devices=self.devices)
    self._mesh, self._whole = mesh, NamedSharding(mesh, _NONE)
    self._placed = self._whole if shard_image else NamedSharding(mesh, _PAIRS)
    self._method, self._seed, self._keep = method, seed, keep
    self._params = jax.device_put(params, self._whole)
    self._tile, self._overlap = tile, overlap
    self._kept = programs or Programs()
    self._compiling = compiling
    self._programs: dict[tuple[tuple[int, ...], int], jax.stages.Compiled] = {}
    self._unproven: set = set()  # programs that came from disk and have not yet run
    self._mended: set = set()  # and those that were compiled again because they failed
    self._mending = threading.Lock()
    self._plans: dict[tuple[int, int, int], Plan] = {}
    self._running = None  # the batch started last
    self.compile_seconds = 0.0
    self.notes: list[str] = []

  @property
  def programs(self) -> int:
    return len(self._programs)

  def __call__(self, images: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, Any]:
    return jax.device_get(self.start(images, ids))

  def start(self, images: np.ndarray, ids: np.ndarray) -> tuple[jax.Array, Any]:
    """Like a call, but returns arrays that are still being computed."""
    program = self._program(images.shape, self.tile(images.shape))
    arguments = [jax.device_put(array, self._placed) for array in (images, ids)]
    if self.devices[0].platform == "cpu":  # which would run both at once, with twice the memory and no faster
      with contextlib.suppress(jax.errors.JaxRuntimeError):  # reported with that result
        jax.block_until_ready(self._running)
    self._running = program(self._params, *arguments)
    return self._running

  def begin(self, images: np.ndarray, ids: np.ndarray) -> tuple[jax.Array, Any] | Exception:
    """Like `start`, but a fault is returned, for `finish`."""
    try:
      return self.start(images, ids)
    except _OF_DEVICE as error:
      return error

  def finish(self, images: np.ndarray, ids: np.ndarray, begun: tuple[jax.Array, Any] | Exception):
    """(fused images, what is kept) of what `begin` returned; waits for it. A stored program that fails is compiled
    again, once. May be called by threads."""
    try:
      if isinstance(begun, Exception):
        raise begun
      fused = jax.device_get(begun[0])
    except _OF_DEVICE as error:
      begun = self.again(images, ids, error)
      fused = jax.device_get(begun[0])
    self.proven(images.shape)
    return fused, begun[1]

  def proven(self, shape: tuple[int, ...]) -> None:
    """Records that a batch of this shape succeeded: its program runs, wherever it came from."""
    self._unproven.discard((shape, self.tile(shape)))

  def again(self, images: np.ndarray, ids: np.ndarray, error: Exception) -> tuple[jax.Array, Any]:
    """The result of a batch that failed with `error`, by a newly compiled program. Raises `error` if the failed program
    was not a stored one, or memory was lacking. May be called by threads."""
    key = images.shape, self.tile(images.shape)
    with self._mending:
      if faults.of_memory(error) or key not in self._unproven | self._mended:
        raise error
      if key in self._unproven:
        start = time.monotonic()
        self._programs[key] = self._kept.again(*self._wanted(*key), error).compiled
        self._unproven.discard(key)
        self._mended.add(key)
        self._take_note(start)
      return jax.block_until_ready(self.start(images, ids))

  def figures(self, shape: tuple[int, ...]) -> dict[str, float | None]:
    """Bytes that a batch of this shape needs on a device, and that are free there."""
    program = self._programs.get((shape, self.tile(shape)))
    return {
      "needed": None if program is None else memory.needed(program, self._params),
      "available": memory.available(self.devices),
    }

  def tile(self, shape: tuple[int, ...]) -> int:
    """Side of the network's tiles for images [B, K, H, W, 3] of this shape; 0 for whole images."""
    planned = self._plans.get(tuple(shape[1:4]))
    return planned.tile if planned else self._tile or 0

  def plan(self, shape: tuple[int, int, int], *, batch_size: int) -> Plan:
    """How pairs of (sources, height, width) run in the memory that there is.

    batch_size: most pairs per device and call; 0 chooses. Where they do not fit, fewer are taken, which changes no
    image, and then, unless `tile` was given, the network's tiles get smaller, which `notes` reports.
    Raises UserError, with the figures, where nothing fits.
    """
    if shape not in self._plans:
      alone = self._shard_image or self.devices[0].platform == "cpu"
      self._plans[shape] = self._fitted(shape, batch_size or (1 if alone else MOST_PAIRS))
      if self._shard_image:
        self.notes.append(f"{shape[2]}x{shape[1]}: {len(self.devices)} devices share the rows of each image")
    return self._plans[shape]

  def _fitted(self, shape: tuple[int, int, int], most: int) -> Plan:
    count, height, width = shape
    there = memory.available(self.devices)
    sides = [self._tile or 0]
    if self._tile is None and not self._shard_image:
      sides += [side for side in TILES if side < max(height, width)]
    asked = None
    for side in sides:
      pairs = most
      while pairs:
        need = self._needed((pairs * self._sharing, count, height, width, 3), side)
        if need is None or there is None or need <= there:
          if side and self._tile is None:
            self.notes.append(f"{width}x{height}: a whole image needs {_gigabytes(asked)} of memory, "
                              f"{_gigabytes(there)} are free; the network is evaluated in tiles of {side}")
          return Plan(pairs * self._sharing, side)
        self._programs.pop(((pairs * self._sharing, count, height, width, 3), side), None)
        asked = need if pairs == 1 and asked is None else asked
        # Memory grows with the batch: go directly to the size that should fit.
        pairs = min(pairs - 1, max(1, int(pairs * there / need))) if pairs > 1 else 0
    ways = "--tile=256" if self._tile else "--tile=1024" if self._tile == 0 else "a larger device"
    raise UserError(f"expected memory for {width}x{height}, {_gigabytes(need)}, found {_gigabytes(there)}; try {ways}, "
                    "--dig_chunk=1 or --dtype=bfloat16")

  def _needed(self, shape: tuple[int, ...], tile: int) -> float | None:
    """Bytes per device; infinite if the compiler itself runs out of memory."""
    try:
      need = memory.needed(self._program(shape, tile), self._params)
    except jax.errors.JaxRuntimeError as error:
      if not faults.of_memory(error):
        raise
      return float("inf")
    return need

  def _program(self, shape: tuple[int, ...], tile: int) -> jax.stages.Compiled:
    if (shape, tile) not in self._programs:
      start = time.monotonic()
      found = self._kept.get(*self._wanted(shape, tile), compiling=lambda: self._compiling(shape))
      if found.kept:
        self._unproven.add((shape, tile))
      self._programs[shape, tile] = found.compiled
      self._take_note(start)
    return self._programs[shape, tile]

  def _wanted(self, shape: tuple[int, ...], tile: int):
    """The arguments for `Programs`: name, devices, function and arguments of a program."""
    images = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=self._placed)
    ids = jax.ShapeDtypeStruct(shape[:1], jnp.uint32, sharding=self._placed)
    name = f"{shape} {tile} {self._overlap} {self._seed}{' rows' if self._shard_image else ''}"
    return name, self.devices, lambda: self._jitted(tile), (self._params, images, ids)

  def _take_note(self, start: float) -> None:
    self.notes += self._kept.notes
    self._kept.notes.clear()
    self.compile_seconds += time.monotonic() - start

  def _remembers(self) -> bool:
    """Whether something of whole images is carried from step to step."""
    reverse, denoise = self._method.reverse, self._method.denoiser(self._params)
    return reverse is not None and isinstance(reverse.predictor(self._params, denoise), StatefulDenoiser)

  def _jitted(self, tile: int):
    method = self._method
    if tile and self._remembers():
      raise UserError("--reuse: features of whole images cannot be reused in tiles; leave it out, or give --tile=0")
    if tile:
      whole = method.denoiser
      method = method.replace(denoiser=lambda params: tiled(whole(params), tile, min(self._overlap, tile // 2)))
    if self._shard_image:
      network = method.denoiser
      method = method.replace(denoiser=lambda params: self._by_rows(network(params)))

    def run(params, images, ids):
      def one(images, pair_id):
        fused, trace = fuse(method, params, jax.random.fold_in(jax.random.key(self._seed), pair_id), images)
        return fused, self._keep(trace)

      if len(images) == 1:  # in a batch every branch of a condition runs, for one pair only its own
        return jax.tree.map(lambda leaf: leaf[None], one(images[0], ids[0]))
      return jax.vmap(one)(images, ids)

    if self._shard_image:
      return jax.jit(run, out_shardings=self._whole)
    if len(self.devices) > 1:
      # Pairs are independent: each device runs the same program as it would alone.
      run = jax.shard_map(run, mesh=self._mesh, in_specs=(_NONE, _PAIRS, _PAIRS), out_specs=_PAIRS, check_vma=False)
    return jax.jit(run)

  def _by_rows(self, denoise: Denoiser) -> Denoiser:
    """The denoiser with the rows of its image distributed over the devices; XLA derives the communication: neighbouring
    rows for convolutions, sums over devices for normalisations, all keys and values for attention."""
    rows = NamedSharding(self._mesh, _PAIRS)
    return lambda x_t, step: denoise(jax.lax.with_sharding_constraint(x_t, rows), step)


_NONE, _PAIRS = PartitionSpec(), PartitionSpec("pairs")


def _gigabytes(amount: float) -> str:
  return "more than the compiler can place" if amount == float("inf") else f"{amount / 1e9:.1f} GB"
