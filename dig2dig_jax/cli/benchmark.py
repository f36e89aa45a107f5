"""--job=benchmark: tables of methods, figures of gains, and the suites, of which each has a function here."""

import dataclasses
from pathlib import Path

from dig2dig_jax.assets import DRFUSION
from dig2dig_jax.benchmarks import (
  alignment,
  brackets,
  degraded,
  gain_figures,
  left_out,
  metric_speed,
  questions,
  ranks,
  theory,
  unannounced,
)
from dig2dig_jax.benchmarks import tables as benchmark
from dig2dig_jax.benchmarks.degraded_rows import Runner
from dig2dig_jax.benchmarks.peers import job as peers
from dig2dig_jax.benchmarks.rows import TABLES, theory_rows
from dig2dig_jax.cli import common, flags, usage
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.errors import UserError
from dig2dig_jax.evaluation import lpips
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.options import Dig2DigOptions, DrFusionOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import Prior, load_drfusion
from dig2dig_jax.restoration.restorer import Restorer


def run() -> int:
  suite = usage.job().partition(":")[2]
  if suite == "metrics":
    say(metric_speed.run(Path(flags.OUT.value), pairs=flags.LIMIT.value or 100))
    return 0
  if suite == "degraded":
    return _degraded()
  if suite == "unannounced":
    return _unannounced()
  if suite == "left_out":
    return _left_out()
  if suite == "ranks":
    return _ranks()
  if suite == "brackets":
    return _brackets()
  if suite == "questions":
    return _questions()
  if suite == "alignment":
    pairs, left_out = common.data_config().find()
    for line in left_out:
      note(f"note: {line}")
    found = {"cases": tuple(flags.CASES.value or ()), "limit": flags.LIMIT.value, "seed": flags.SEED.value}
    say(alignment.run(pairs, Path(flags.OUT.value), **found), end="")
    return 0
  if suite == "theory":
    return _theory()
  if suite == "figures":
    return _figures()
  if "peers" in flags.TABLE.value:
    return _peers()
  tables = tuple(TABLES) if flags.TABLE.value == ["all"] else tuple(flags.TABLE.value)
  keep = tuple(row.strip() for row in flags.ROWS.value.split(";") if row.strip())
  config, options = dataclasses.replace(common.fuse_config(), settings=common.pixel_settings()), _tuned()
  chosen = {"tables": tables, "keep": keep, "limit": flags.LIMIT.value}
  if flags.PROTOCOL.value:
    chosen["protocols"] = tuple(flags.PROTOCOL.value)
  if flags.LPIPS.value:
    chosen["lpips"] = lpips.load(Path(flags.LPIPS.value))
  chosen |= {"middle": flags.MIDDLE.value, "tell": lambda line: note(f"note: {line}")}
  found = benchmark.run(common.prior(), common.codec(), config, options, **chosen)
  return common.finish(found, found.text)


def _peers() -> int:
  if flags.TABLE.value != ["peers"]:
    raise UserError(f"--table={','.join(flags.TABLE.value)}: expected peers on its own, since its rows are other "
                    "programs")
  keep = tuple(row.strip() for row in flags.ROWS.value.split(";") if row.strip())
  chosen = {"keep": keep, "limit": flags.LIMIT.value, "protocol": common.one_protocol()}
  chosen |= {"place": Path(flags.PEERS.value) if flags.PEERS.value else None}
  found = peers.run(common.data_config(), Path(flags.OUT.value), tell=lambda line: note(f"note: {line}"), **chosen)
  return common.finish(found, found.text)


def _tuned() -> Dig2DigOptions:
  options = common.method_options()
  if not isinstance(options, Dig2DigOptions):
    raise UserError("--job=benchmark varies Dig2DIG and includes the other methods as rows; leave out --method")
  return options


def _left_out() -> int:
  if not flags.SCORED.value:
    raise UserError("--suite=left_out: expected --scored=FOLDER,FOLDER, as written by --table=spectrum")
  say(left_out.run([Path(folder) for folder in flags.SCORED.value], Path(flags.OUT.value)))
  return 0


def _ranks() -> int:
  if not flags.SCORED.value:
    raise UserError("--suite=ranks: expected --scored=FOLDER,FOLDER, as written by --table=clean")
  say(ranks.run([Path(folder) for folder in flags.SCORED.value], Path(flags.OUT.value)))
  return 0


def _brackets() -> int:
  prior, options = common.prior(), _tuned()
  config = _told(prior, options)
  fuse = Runner(Fuser(make_method(prior, common.codec(), options=options), prior.params, seed=config.seed),
                config.bucket)  # fmt: skip
  chosen = {"cases": tuple(flags.CASES.value or brackets.CASES), "limit": flags.LIMIT.value}
  found = brackets.run(fuse, config, middle=flags.MIDDLE.value, **chosen)
  return common.finish(found, found.text)


def _questions() -> int:
  prior, options = common.prior(), _tuned()
  if options.window != "spectrum":
    raise UserError(f"--dig_window={options.window}: expected spectrum, with which the questions compare other weights")
  asked = tuple(flags.CASES.value or questions.QUESTIONS)
  found = questions.run(
    prior, common.codec(), _told(prior, options), options, _restorer_of(prior), questions=asked,
    limit=flags.LIMIT.value, middle=flags.MIDDLE.value,
  )  # fmt: skip
  return common.finish(found, found.text)


def _theory() -> int:
  rows = theory_rows(_tuned())
  options = {"limit": flags.LIMIT.value, "bucket": flags.BUCKET.value, "seed": flags.SEED.value}
  found = theory.run(common.prior(), common.codec(), rows, common.data(), Path(flags.OUT.value), **options)
  return common.finish(found, found.text)


def _figures() -> int:
  wanted = {"figures": tuple(flags.FIGURE.value), "limit": flags.LIMIT.value}
  wanted["boxes"] = gain_figures.parse_boxes(flags.BOXES.value)
  found = gain_figures.run(common.prior(), common.codec(), common.fuse_config(), _tuned(), **wanted)
  return common.finish(found, "\n".join(f"written: {path}" for path in found.written))


def _degraded() -> int:
  prior, codec, options = common.prior(), common.codec(), _tuned()
  trained = None
  if flags.DRFUSION_PRIOR.value or DRFUSION.is_dir():
    directory = Path(flags.DRFUSION_PRIOR.value) if flags.DRFUSION_PRIOR.value else DRFUSION
    network = load_drfusion(directory, dtype=flags.DTYPE.value)
    given = {name: flags.OPTIONS[name].value for name in ("sigma_y", "correct", "ensemble")}
    options_of_it = DrFusionOptions(output="channels", **{name: x for name, x in given.items() if x is not None})
    trained = make_method(network, codec, options=options_of_it), network.params
  method = make_method(prior, codec, options=options)
  found = degraded.run(
    _restorer_of(prior),
    (method, prior.params),
    _told(prior, options),
    drfusion=trained,
    cases=tuple(flags.CASES.value or degraded.CASES),
    limit=flags.LIMIT.value,
    middle=flags.MIDDLE.value,
    held_out=flags.HELD_OUT.value,
  )
  return common.finish(found, found.text)


def _unannounced() -> int:
  prior, codec, options = common.prior(), common.codec(), _tuned()
  if options.window != "spectrum":
    raise UserError(f"--dig_window={options.window}: expected spectrum, which detects the degradations of its sources")
  config = _told(prior, options)

  def runner(restore: str, seed: int = config.seed) -> Runner:
    own = dataclasses.replace(options, restore=restore)
    method = make_method(prior, codec, options=own)
    return Runner(Fuser(method, prior.params, seed=seed), config.bucket)

  def blind(seed: int):
    restorer, fuse = common.blind_restorer_of(prior)._replace(seed=seed), runner("noise", seed)
    return lambda sources, name: fuse(restorer.restored(sources, name)[0], name)

  found = unannounced.run(
    unannounced.Rules(blind(config.seed), blind(config.seed + 1), runner("off")),
    _restorer_of(prior),
    config,
    cases=tuple(flags.CASES.value or unannounced.KINDS),
    affected=tuple(flags.AFFECTED.value or unannounced.AFFECTED),
    limit=flags.LIMIT.value,
    middle=flags.MIDDLE.value,
  )
  return common.finish(found, found.text)


def _restorer_of(prior: Prior):
  return lambda degradations: Restorer(prior, degradations, steps=flags.RESTORE_STEPS.value, seed=flags.SEED.value)


def _told(prior: Prior, options: Dig2DigOptions):
  settings = {"options": dataclasses.asdict(options), "prior": str(prior.directory)}
  return dataclasses.replace(common.fuse_config(), settings=settings)
