"""What do the report and the page of `dig2dig app` share? Their look, and the divider over two pictures."""

import importlib.resources

STYLE, DIVIDER = "shared.css", "divider.js"
NAMES = (STYLE, DIVIDER)


def text(name: str) -> str:
  """Of one of NAMES."""
  return (importlib.resources.files(__name__) / "shared" / name).read_text(encoding="utf-8")
