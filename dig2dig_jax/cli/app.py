"""`dig2dig app`: a page in the browser onto what `dig2dig fuse` does, served by this machine to itself."""

from pathlib import Path

from dig2dig_jax.assets import EMBEDDED
from dig2dig_jax.cli import flags, interrupt, serving
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import typed_path

HELP = """dig2dig app

A page to drop images on: two or more of one scene become one, with controls, comparison and downloads. It is served by
this machine to itself, works without a network, and keeps nothing once it ends. docs/app.md.

  --port=NUMBER              of the address that is printed; any that is free, if left out
  --host=ADDRESS             to listen on in place of 127.0.0.1: others on the network can then use the page
  --prior=FOLDER             checkpoint folder of the diffusion prior; the embedded one by default
  --compile_cache=FOLDER     of compiled programs; empty for none

It needs pip install 'dig2dig_jax[app]'. Exit status: 2 bad input, 130 Ctrl-C."""
_FLAGS = ("port", "host", "prior", "compile_cache")


def run(words: list[str]) -> int:
  """Serves the page until Ctrl-C. UserError for what cannot be."""
  given = {}
  for word in words:
    name, equals, value = word.removeprefix("--").partition("=")
    if not word.startswith("--") or not equals or name not in _FLAGS:
      raise UserError(f"dig2dig app: expected --{'=, --'.join(_FLAGS)}=, found {word}; see dig2dig app --help")
    given[name] = value
  port = serving.port(given.get("port", "0"))
  with serving.packages("dig2dig app: expected the packages starlette and uvicorn", "pip install 'dig2dig_jax[app]'"):
    from dig2dig_jax.app import serve
  from dig2dig_jax.fusing import compile_cache
  from dig2dig_jax.priors.prior import load_prior

  cache = given.get("compile_cache", flags.cache_folder())
  if cache and (told := compile_cache.use(typed_path(cache))):
    note(f"note: {told}")
    cache = ""
  prior = load_prior(typed_path(given["prior"]) if "prior" in given else EMBEDDED)
  interrupt.begins()
  serve.run(
    prior, host=given.get("host", serve.LOCAL), port=port, cache=typed_path(cache) if cache else None,
    named_prior=Path(given["prior"]).name if "prior" in given else "", interrupted=interrupt.INTERRUPTED,
    say=say, note=note,
  )  # fmt: skip
  return 0
