"""Can the page be read and reached by everybody? What of it can be told without a browser."""

import pathlib
import re

import pytest

from dig2dig_jax import pages

PAGE = pathlib.Path(__file__).resolve().parents[2] / "dig2dig_jax" / "app" / "page"


def luminance(colour):
  """Relative luminance of WCAG 2.2."""
  digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
  linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
            for value in (int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4))]  # fmt: skip
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(scheme):
  blocks = re.findall(r":root \{(.*?)\}", pages.text(pages.STYLE), re.DOTALL)
  colours = dict(re.findall(r"--([\w-]+): #(\w+)", blocks[scheme == "dark"]))
  for text, behind in (("ink", "paper"), ("ink", "band"), ("faint", "paper"), ("on", "accent"), ("bad", "bad-band"),
                       ("bad", "paper"), ("accent", "paper"), ("faint", "band"), ("ink", "own"),
                       ("good", "paper"), ("accent", "own"), ("accent", "band")):  # fmt: skip
    light, dark = sorted((luminance(colours[text]), luminance(colours[behind])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{scheme}: {text} on {behind}"


def test_everything_that_is_filled_in_has_a_label_and_every_script_finds_what_it_names():
  html = (PAGE / "index.html").read_text()
  ids = re.findall(r'\bid="([\w-]+)"', html)
  assert len(ids) == len(set(ids)) and '<html lang="en">' in html
  for tag in re.findall(r"<(?:select|input)\b[^>]*>", html):
    name = re.search(r'id="([\w-]+)"', tag)[1]
    assert f'for="{name}"' in html or re.search(rf"<label[^>]*>[^<]*{re.escape(tag)}", html), tag
  for path in PAGE.glob("*.js"):
    for name in re.findall(r'\$\("([\w-]+)"\)', path.read_text()):
      assert name in ids, f"{path.name}: {name}"
