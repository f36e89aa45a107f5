"""--job=fuse: every pair of a data set."""

import dataclasses

from dig2dig_jax.alignment.ghosts import Deghoster
from dig2dig_jax.cli import common, flags
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import engines, job, processes
from dig2dig_jax.methods.options import UserOptions
from dig2dig_jax.methods.registry import make_method, where
from dig2dig_jax.priors.swift import Swift


def _engine() -> engines.Engine | None:
  """Of --engine."""
  if flags.ENGINE.value == "none":
    return None
  from dig2dig_jax.fusing import ray_engine

  resources = ray_engine.parse_resources(flags.ENGINE_RESOURCES.value)
  workers = ray_engine.parse_workers(flags.ENGINE_WORKERS.value)
  return ray_engine.RayEngine(*workers, resources, flags.ENGINE_ADDRESS.value)


def run() -> int:
  config, options, codec = common.fuse_config(), common.method_options(), common.codec()
  if flags.LIST.value:
    lines, left_out = job.listed(config)
    for line in left_out:
      note(f"note: {line}")
    for several in lines:
      say(several, end="")
    return 0
  common.say_notes(options)
  place = processes.place(
    flags.DISTRIBUTED.value,
    coordinator=flags.COORDINATOR.value,
    processes=flags.PROCESSES.value,
    process=flags.PROCESS.value,
  )
  prior = common.network_prior()
  restorer = common.restorer(prior, options)
  method = make_method(prior, codec, options=options)
  values = dataclasses.asdict(options)
  machine = {"prior": str(prior.directory), "batch_size": flags.BATCH_SIZE.value, "dig_chunk": values.pop("chunk", 0),
             "network": repr(prior.config), "command": common.command()}  # fmt: skip
  settings = {"method": flags.METHOD.value, "options": values, **common.pixel_settings(),
              **common.network_settings(prior)}  # fmt: skip
  conditions = getattr(options, "conditions", ())
  learned = (prior.quick.least, prior.quick.most) if isinstance(prior, Swift) else None
  deghost = flags.DEGHOST_BY.value
  deghoster = None if deghost == "off" else Deghoster(deghost, flags.REFERENCE.value)
  looks = config.looks and place.process == 0  # one line, however many processes there are
  config = dataclasses.replace(config, settings=settings, machine=machine, conditions=conditions, restorer=restorer,
                               deghoster=deghoster, learned=learned, looks=looks)  # fmt: skip
  try:
    done = job.run(config, method, prior.params, place=place, engine=_engine())
  except UserError:
    raise
  except Exception as error:
    if not isinstance(options, UserOptions):
      raise
    raise UserError(f"--method={options.method}: expected a working method, found {where(error)}") from error
  which = f"process {place.process} of {place.processes}: " if place.processes > 1 else ""
  where_to = f"; results in {config.out}" if done.done or done.skipped else ""  # without any nothing was written there
  status = common.finish(done, f"{which}{done.summary()}{where_to}")
  return processes.INTERRUPTED if done.stopped_by == processes.CTRL_C else status
