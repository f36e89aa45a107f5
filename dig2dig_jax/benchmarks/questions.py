"""The open questions that reviews of Dig2DIG asked: a table each, on gray middles of a few pairs.

`misregistered`, `leaning`, `mistold`, `intervals` and `fewer_pixels` have a file each. What gains are beside the
weights that the theory wants is `--suite=theory`; degraded sources by kind are `--suite=degraded`.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dig2dig_jax import metrics
from dig2dig_jax.benchmarks import fewer_pixels, intervals, leaning, misregistered, mistold, published, rows
from dig2dig_jax.benchmarks.degraded import Report, gray_middle
from dig2dig_jax.benchmarks.degraded_rows import Rule, Runner
from dig2dig_jax.benchmarks.pairs import spread
from dig2dig_jax.benchmarks.stepwise import Programs, Stepwise
from dig2dig_jax.data.padding import bucket_size, crop, reflect_pad
from dig2dig_jax.data.pairs import LoadedPair, content_id, load_pair
from dig2dig_jax.errors import UserError
from dig2dig_jax.escape import table
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.fuser import Fuser
from dig2dig_jax.methods.codec import Codec
from dig2dig_jax.methods.options import MethodOptions
from dig2dig_jax.methods.registry import make_method
from dig2dig_jax.priors.prior import Prior
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.restoration.blind_restorer import BlindRestorer
from dig2dig_jax.restoration.degradation import Degradation
from dig2dig_jax.restoration.restorer import Restorer

QUESTIONS = ("misregistered", "leaning", "mistold", "intervals", "fewer_pixels")


class Asked:
  """The subjects of the questions: pairs, and the methods that fuse them.

  tuned: the flags' options, of gains in closed form."""

  def __init__(self, prior: Prior, codec: Codec, config: FuseConfig, tuned, pairs: list[LoadedPair]):
    self.prior, self.codec, self.config, self.tuned, self.pairs = prior, codec, config, tuned, pairs

  def rule(self, options: MethodOptions) -> Runner:
    method = make_method(self.prior, self.codec, options=options)
    return Runner(Fuser(method, self.prior.params, seed=self.config.seed), self.config.bucket)

  def weights(self, options: MethodOptions) -> leaning.Weights:
    """What the method's weighting gives for sources of any one size, compiled."""
    method = make_method(self.prior, self.codec, options=options)

    @jax.jit
    def compute(params, key, sources):
      return method.weighting.compute(key, method.codec.encode(sources), method.denoiser(params))

    key = jax.random.key(self.config.seed)
    return lambda sources, name: np.asarray(
      compute(self.prior.params, jax.random.fold_in(key, content_id(name)), sources)
    )


def run(
  prior: Prior,
  codec: Codec,
  config: FuseConfig,
  tuned,
  restorer_of: Callable[[dict[str, Degradation]], Restorer],
  *,
  questions: tuple[str, ...] = QUESTIONS,
  limit: int = 0,
  middle: int = 256,
) -> Report:
  """Answers them; table.md and table.json go into a folder per question under `config.out`.

  tuned: `Dig2DigOptions` of gains in closed form. restorer_of: as in `degraded.run`. limit: pairs, spread evenly over
  the folder; 0 for all. middle: side of the square in the middle of every pair. UserError for an unknown question, and
  where no pair can be read."""
  if unknown := [name for name in questions if name not in QUESTIONS]:
    raise UserError(f"--cases={unknown[0]}: expected names among {', '.join(QUESTIONS)}")
  found, left_out = config.find()
  pairs, failed = [], []
  for pair in spread(found, limit):
    try:
      pairs.append(gray_middle(load_pair(pair), middle))
    except UserError as error:
      failed.append(str(error))
  if not pairs:
    raise UserError(failed[0])
  asked = Asked(prior, codec, config, tuned, pairs)
  answers = {"misregistered": _misregistered, "leaning": _leaning, "mistold": lambda of: _mistold(of, restorer_of),
             "intervals": _intervals, "fewer_pixels": _fewer_pixels}  # fmt: skip
  texts = []
  for question in questions:
    header, lines, text_columns = answers[question](asked)
    texts.append(f"Question {question}\n\n{_write(config.out / question, asked, header, lines, text_columns)}")
  return Report("\n".join(texts), left_out, failed, [])


def _misregistered(asked: Asked):
  plain: dict[str, Rule] = {}
  for name in ("average", "Laplacian pyramid"):
    plain[name] = lambda sources, _, name=name: _plain(name, sources)
  rules = plain | {name: asked.rule(options) for name, options in rows.misregistered(asked.tuned).items()}
  return misregistered.HEADER, misregistered.rows(asked.pairs, rules), 2


def _plain(name: str, sources: np.ndarray) -> np.ndarray:
  levels = metrics.BASELINES[name]([(source[..., 0] + 1) * 127.5 for source in sources])
  return np.repeat(levels[..., None] / 127.5 - 1, 3, axis=-1)


def _leaning(asked: Asked):
  weightings = {name: asked.weights(options) for name, options in rows.weightings(asked.tuned).items()}
  return leaning.HEADER, leaning.rows(asked.pairs, weightings, asked.config.seed), 1


def _mistold(asked: Asked, restorer_of):
  restored, plain = (asked.rule(dataclasses.replace(asked.tuned, restore=restore)) for restore in ("noise", "off"))
  blur = BlindRestorer(asked.prior, seed=asked.config.seed, bucket=asked.config.bucket)

  def blind(sources, name):
    return restored(blur.restored(sources, name)[0], name)

  of = asked.config
  return mistold.HEADER, mistold.rows(asked.pairs, plain, blind, restorer_of, of.sources, of.seed), 2


def _intervals(asked: Asked):
  options, config = published.readings(), asked.config
  own, others = (Programs(asked.prior, asked.codec, seed=config.seed + more) for more in (0, 1))

  def stepwise(row: str, programs: Programs) -> Stepwise:
    return Stepwise(options[row], programs, asked.prior.params)

  def weights(run: Stepwise) -> intervals.Weights:
    def of(sources, name):
      padded = reflect_pad(sources, bucket_size(*sources.shape[1:3], multiple=config.bucket))
      return crop(np.asarray(run.weights(jnp.asarray(padded), np.uint32(content_id(name)))), sources.shape[1:3])

    return of

  ways = {}
  for reading in intervals.READINGS:
    for interval, row in intervals.ROWS.items():
      run, other = (stepwise(f"{reading}: {row}", programs) for programs in (own, others))
      ways[reading, interval] = intervals.Way(weights(run), weights(other), Runner(run, config.bucket))
  none = Runner(stepwise(f"{published.CHOSEN}: {published.NONE}", own), config.bucket)
  return intervals.HEADER, intervals.rows(asked.pairs, ways, none), 2


def _fewer_pixels(asked: Asked):
  # Blur and lost resolution are undone before, as in the fuse job; at every scale, to see from where that is better.
  rule = asked.rule(dataclasses.replace(asked.tuned, restore="noise"))
  of = asked.config
  restorer = BlindRestorer(asked.prior, seed=of.seed, bucket=of.bucket, least=1.0)
  return fewer_pixels.HEADER, fewer_pixels.rows(asked.pairs, rule, restorer), 2


def _write(out: Path, asked: Asked, header, lines: list[list[str]], text_columns: int) -> str:
  make_folder(out)
  text = table(list(header), lines, text=text_columns)
  write_text(out / "table.md", text)
  told = {
    "data": str(asked.config.data),
    "seed": asked.config.seed,
    "pairs": [pair.name for pair in asked.pairs],
    "prior": str(asked.prior.directory),
    **asked.config.settings,
    "header": list(header),
    "rows": lines,
  }
  write_text(out / "table.json", json.dumps(told, indent=1, default=str) + "\n")
  return text
