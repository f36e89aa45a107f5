"""Is each thing that the made cameras leave taken for what it is?"""

import cameras

from dig2dig_jax.cli import radiometric
from dig2dig_jax.data import layouts


def test_a_bracket_a_stack_and_a_radiometric_file(tmp_path):
  cameras.main(tmp_path)
  bracket, stack = layouts.look(tmp_path / "bracket"), layouts.look(tmp_path / "stack")
  assert (bracket.dataset, bracket.task, len(bracket.sources)) == ("stacks", "exposure", 3)
  assert (stack.dataset, stack.task, len(stack.sources)) == ("stacks", None, 5)
  assert radiometric.is_pair([str(tmp_path / "FLIR0001.jpg")])
