"""Is every option declared once, with names that exist, bounds that hold, and a flag that says the same?"""

import dataclasses
import pathlib

import pytest

from dig2dig_jax.cli import declare, flags, options_page
from dig2dig_jax.errors import UserError
from dig2dig_jax.guidance import conditions, expectation_maximization, gain, quadratic, spectrum, weighting
from dig2dig_jax.methods import options
from dig2dig_jax.methods.drfusion import CHANNELS
from dig2dig_jax.methods.option import declared
from dig2dig_jax.sampling import joint_observation, schedule, transition


def test_names_are_those_of_the_parts():
  assert options.SPACINGS == schedule.SPACINGS
  assert options.TRANSITIONS == tuple(transition.TRANSITIONS) and options.VARIANCES == transition.VARIANCES
  assert set(options.DISTANCES) == set(gain.DISTANCES) and options.UNITS == tuple(gain.UNITS)
  assert (options.FIRST, options.RULES, options.SCOPES) == (weighting.FIRST, weighting.RULES, weighting.SCOPES)
  assert options.NORMALISATIONS == weighting.NORMALISATIONS
  assert options.GUIDANCES == tuple(quadratic.GUIDANCES) and options.BASES == quadratic.BASE_RULES
  assert options.AGAINST == spectrum.AGAINST and options.SPECTRUM_BASES == spectrum.BASES
  assert options.EM_COLOURS == expectation_maximization.COLOURS and options.EM_ROLES == expectation_maximization.ROLES
  assert options.CONDITIONS == tuple(conditions.CONDITIONS)
  assert options.DrFusionOptions().sigma_y == joint_observation.SIGMA_Y
  outputs = dict(declared(options.DrFusionOptions))["output"].check
  assert all(outputs.holds(name) for name in (*CHANNELS, "channels"))


def test_every_field_of_the_rule_is_an_option_with_its_default():
  given = {field.name: field.default for field in dataclasses.fields(options.Dig2DigOptions)}
  for field in dataclasses.fields(spectrum.Rule):
    if field.name != "bands":  # 1, the paper's, is of the other windows
      assert given[field.name] == field.default, field.name


def test_the_page_in_docs_is_what_the_declarations_say():
  found = pathlib.Path(__file__).resolve().parents[2] / "docs" / "options.md"
  assert found.read_text(encoding="utf-8") == options_page.page()


@pytest.mark.parametrize("kind", options.OPTIONS.values())
def test_every_option_has_help_a_flag_and_a_default_within_its_bounds(kind):
  for name, found in declared(kind):
    assert found.help and found.help[-1] not in ".:", name
    flag = flags.OPTIONS[name]
    assert flag.name == found.flag and found.flag in declare.DECLARED
    default = getattr(kind(), name)
    for one in default if isinstance(default, tuple) else (default,):
      assert found.check is None or found.check.holds(one), name


@pytest.mark.parametrize(
  ("kind", "values", "flag"),
  [
    ("dig2dig", {"interval": 0}, "dig_interval"),
    ("dig2dig", {"temperature": float("nan")}, "dig_temperature"),
    ("dig2dig", {"against": "noise"}, "dig_against"),
    ("dig2dig", {"restore": "all"}, "restore"),
    ("ddfm", {"em_rho": 0.0}, "em_rho"),
    ("ccf", {"conditions": ("ssim", "joy")}, "conditions"),
  ],
)
def test_python_refuses_what_the_declaration_does_not_allow(kind, values, flag):
  with pytest.raises(UserError, match=f"--{flag}=.*: expected "):
    options.OPTIONS[kind](**values).validate(1000)
