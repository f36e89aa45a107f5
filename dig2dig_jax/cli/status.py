"""dig2dig status OUT: how far a run is."""

from dig2dig_jax.cli.output import note, say
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import status
from dig2dig_jax.stores.address import typed_place

HELP = (
  "dig2dig status OUT\n\n"
  "Prints the progress of the runs that write into a folder of results: pairs done, failures by kind, pairs per\n"
  "second and worker, time left, device hours. Reads the index of the logs, or in a store (s3://...) the logs\n"
  "themselves, and can be used while they run. docs/batch_runs.md.\n\n"
  "  --json         as a JSON object that includes every failure\n"
  "  --prometheus   in the text format of Prometheus\n\n"
  "Exit status: 0 done, 2 no log of a run found."
)


def run(words: list[str]) -> int:
  flags = [word for word in words if word.startswith("-")]
  places = [word for word in words if not word.startswith("-")]
  if wrong := [flag for flag in flags if flag not in ("--json", "--prometheus")]:
    raise UserError(f"dig2dig status: expected --json, --prometheus or neither, found {wrong[0]}; see dig2dig status "
                    "--help")  # fmt: skip
  if len(flags) > 1:
    raise UserError("dig2dig status: expected one of --json and --prometheus, found both; leave one out")
  if len(places) != 1:
    raise UserError(f"dig2dig status: expected one folder of results, found {len(places)}; see dig2dig status --help")
  out = typed_place(places[0])
  found = status.look(out, **({"most": 10**9} if "--json" in flags else {}))
  for line in found.notes:
    note(f"note: {line}")
  as_text = {"--json": status.as_json, "--prometheus": status.as_prometheus}
  say(as_text[flags[0]](found) if flags else status.words(found, out), end="")
  return 0
