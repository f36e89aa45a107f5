"""--job=report: a page of pictures and scores."""

from pathlib import Path

from dig2dig_jax.cli import common, flags
from dig2dig_jax.evaluation import report


def run() -> int:
  folders, data, arguments = common.fused_arguments()
  out = Path(flags.OUT.value)
  arguments |= {"command": common.command(), "budget_mb": flags.PAGE_MB.value}
  found = report.run(folders, data, out, **arguments)
  return common.finish(found, f"{found.text}\npage written to {out / report.PAGE}")
