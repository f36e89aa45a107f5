"""Does every public name say what goes in, what comes out and what it raises?

Functions in Google's sections, of which the site's reference is made; tuples and classes name each of their fields.
"""

import ast
import dataclasses
import inspect
import re
import textwrap

import pytest

import dig2dig_jax as d2d

PUBLIC = {name: getattr(d2d, name) for name in d2d.__all__ if name != "__version__"}
FUNCTIONS = sorted(name for name, found in PUBLIC.items() if inspect.isfunction(found))
CLASSES = sorted(name for name, found in PUBLIC.items() if inspect.isclass(found))
# Options say of each field what it is where they declare it: docs/options.md.
DECLARED = {name for name in CLASSES if name.endswith("Options")}


def sections(text):
  """{heading: its text}; what stands before the first heading is under the empty one."""
  parts = re.split(r"^(Args|Returns|Yields|Raises):\n", text, flags=re.MULTILINE)
  return dict(zip(["", *parts[1::2]], parts[0::2], strict=True))


def raised(function):
  """Names of the errors that the function's own lines raise, not those of functions inside it."""
  (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
  inner = {node for child in ast.walk(tree) if isinstance(child, ast.FunctionDef) and child is not tree
           for node in ast.walk(child)}  # fmt: skip
  calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node not in inner]
  return {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}


def faults(function):
  """What its docstring leaves out."""
  found, signature = sections(inspect.getdoc(function) or ""), inspect.signature(function)
  told = re.findall(r"^  (\w+(?:, \w+)*): ", found.get("Args", ""), re.MULTILINE)
  named = [name for names in told for name in names.split(", ")]
  missing = [] if found[""].strip() else ["what it does"]
  if named != [*signature.parameters]:
    missing.append(f"Args: {[*signature.parameters]}, found {named}")
  if signature.return_annotation not in (None, "None") and not {"Returns", "Yields"} & {*found}:
    missing.append("Returns")
  return missing + [f"Raises: {error}" for error in raised(function) if f"  {error}: " not in found.get("Raises", "")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_take_give_and_raise(name):
  assert not faults(PUBLIC[name])


def fields(kind):
  if dataclasses.is_dataclass(kind):
    return [field.name for field in dataclasses.fields(kind) if not field.name.startswith("_")]
  return [*getattr(kind, "_fields", ())]


@pytest.mark.parametrize("name", CLASSES)
def test_classes_name_their_fields(name):
  text = PUBLIC[name].__doc__ or ""
  assert text.strip() and not text.startswith(f"{name}("), "only what NamedTuple or dataclass wrote"
  own = [kind for kind in PUBLIC[name].__mro__ if kind.__module__.startswith("dig2dig_jax")]  # with what it inherits
  module = "\n".join(map(inspect.getsource, own))
  text += "\n".join(kind.__doc__ or "" for kind in own[1:])
  for field in [] if name in DECLARED else fields(PUBLIC[name]):
    # In the docstring, or in a comment beside its annotation.
    assert re.search(rf"\b{field}\b", text) or re.search(rf"^  {field}: .*# \S", module, re.MULTILINE), field


def test_what_is_left_out_is_seen():
  def complete(a: int, b: int) -> int:
    """Adds.

    Args:
      a, b: numbers.

    Returns:
      Their sum.

    Raises:
      UserError: never.
    """
    raise d2d.UserError("never")

  def poor(a: int) -> int:
    """Adds."""
    raise ValueError(a)

  assert not faults(complete)
  assert faults(poor) == ["Args: ['a'], found []", "Returns", "Raises: ValueError"]
