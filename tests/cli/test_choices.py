"""Are the names that flags may have as values those of the parts?"""

from dig2dig_jax.alignment.aligner import OTHERWISE
from dig2dig_jax.alignment.estimate import MODELS
from dig2dig_jax.alignment.frames import HOW
from dig2dig_jax.alignment.ghosts import KINDS
from dig2dig_jax.benchmarks.rows import TABLES
from dig2dig_jax.cli import choices
from dig2dig_jax.data.readers import READERS
from dig2dig_jax.data.validity import WORDS
from dig2dig_jax.evaluation.detector import LAYOUTS
from dig2dig_jax.fusing.sharded import CONTAINERS
from dig2dig_jax.metrics import PROTOCOLS
from dig2dig_jax.priors.prior import DTYPES
from dig2dig_jax.restoration.degradation import STAGES_HELP


def test_names_are_those_of_the_parts():
  assert tuple(TABLES) == choices.TABLES and tuple(PROTOCOLS) == choices.PROTOCOLS
  assert tuple(READERS) == choices.DATASETS and LAYOUTS == choices.LAYOUTS and DTYPES == choices.DTYPES
  assert choices.ALIGN == ("off", *MODELS) and choices.ALIGN_OR == OTHERWISE and choices.RESIZE == HOW
  assert choices.RESULTS == CONTAINERS
  assert choices.DEGHOST == ("off", *KINDS)
  assert WORDS == choices.VALID and STAGES_HELP == choices.STAGES_HELP
