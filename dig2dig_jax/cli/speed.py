"""--job=benchmark --suite=speed: how fast the compiled programs are. It needs no library of images: a machine with a
GPU, JAX, Flax and this package will do."""

from pathlib import Path

from dig2dig_jax.benchmarks import speed
from dig2dig_jax.benchmarks.peer import DdfmPeer
from dig2dig_jax.cli import flags, method
from dig2dig_jax.cli.output import say
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.registry import METHODS
from dig2dig_jax.models.official import OFFICIAL
from dig2dig_jax.porting.recognise import configured
from dig2dig_jax.priors.prior import Prior, random_prior
from dig2dig_jax.sampling.schedule import NoiseSchedule


def run() -> int:
  sizes = []
  for text in flags.SIZES.value:
    width, cross, height = text.partition("x")
    if not cross:
      raise UserError(f"--sizes={text}: expected WIDTHxHEIGHT, such as 512x384")
    sizes.append(tuple(method.integer("sizes", side, most=16384) for side in (height, width)))
  config = speed.SpeedConfig(
    out=Path(flags.OUT.value),
    sizes=tuple(sizes),
    batches=tuple(method.integer("batch_sizes", text, most=65536) for text in flags.BATCH_SIZES.value),
    dtypes=tuple(flags.SPEED_DTYPES.value or [flags.DTYPE.value]),
    repeats=flags.REPEATS.value,
    profile=flags.PROFILE.value,
  )
  methods = {flags.METHOD.value: method.method_options()}
  peer = None
  if flags.PEER.value:
    methods.setdefault("ddfm", METHODS["ddfm"][0]())
    released = DdfmPeer(Path(flags.PEER.value), measured=flags.PEER_STEPS.value)
    peer = lambda prior, height, width: released(prior.params, prior.config, height, width)  # noqa: E731
  say(speed.run(_prior, method.codec(), methods, config, peer=peer, peer_name="ddfm, as released, PyTorch"))
  return 0


def _prior(dtype: str) -> Prior:
  if not flags.RANDOM_PRIOR.value:
    return method.prior(dtype=dtype)
  if flags.RANDOM_PRIOR.value in OFFICIAL:
    config, schedule = OFFICIAL[flags.RANDOM_PRIOR.value].config, OFFICIAL[flags.RANDOM_PRIOR.value].schedule
  else:
    config, schedule = configured(flags.RANDOM_PRIOR.value)
  noise = NoiseSchedule(schedule, 1000)
  return random_prior(config, noise, name=f"of random weights, {flags.RANDOM_PRIOR.value}", dtype=dtype,
                      kernels=flags.KERNELS.value)  # fmt: skip
