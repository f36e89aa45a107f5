"""docs/options.md: every option of every method, from its declaration. python -m dig2dig_jax.cli.options_page"""

import argparse
import dataclasses

from dig2dig_jax.escape import table
from dig2dig_jax.methods.option import declared
from dig2dig_jax.methods.options import OPTIONS

HEAD = """# Options of the methods

By `python -m dig2dig_jax.cli.options_page`, from their declarations (`methods/options.py`). A flag of `launch.py` and
`dig2dig`, and a field of the method's options in Python. Defaults are the papers'; flag files hold the tuned values.
"""


def page() -> str:
  """Markdown: a table per method, without what it shares with the ones before."""
  text, known = HEAD, {}
  for method, kind in OPTIONS.items():
    rows = []
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    for name, found in declared(kind):
      default = ",".join(defaults[name]) if isinstance(defaults[name], tuple) else defaults[name]
      if known.setdefault(name, default) == default and any(name in _names(other) for other in _before(method)):
        continue
      bounds = f"; {found.check.expected}" if found.check is not None and found.kind in ("integer", "number") else ""
      rows.append([f"`--{found.flag}`", f"`{name}`", f"`{default}`", f"{found.help}{bounds}"])
    text += f"\n## {method}\n\n{table(['flag', 'field', 'default', 'what'], rows, text=4)}"
  return text


def _names(method: str) -> set[str]:
  return {name for name, _ in declared(OPTIONS[method])}


def _before(method: str) -> list[str]:
  return list(OPTIONS)[: list(OPTIONS).index(method)]


if __name__ == "__main__":
  argparse.ArgumentParser(prog="python -m dig2dig_jax.cli.options_page", description=__doc__).parse_args()
  print(page(), end="")
