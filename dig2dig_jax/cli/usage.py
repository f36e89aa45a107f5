"""Is a command line valid: does every flag belong to its job, with a value within bounds? And what does help print?

Flags in a flag file may belong to another job, since one file serves several; typed flags must be the job's own.
"""

import dataclasses
import textwrap
from collections.abc import Sequence

from dig2dig_jax.cli import flags
from dig2dig_jax.cli.declare import DECLARED, JOBS_OF, VARIANTS, in_words, variant_flag
from dig2dig_jax.errors import UserError
from dig2dig_jax.methods.options import OPTIONS as METHODS

WIDTH = 120
_LONGEST = 200  # characters of a value in a message


def job() -> str:
  """What the flags ask for: `fuse`, `evaluate:fused`, ..."""
  name, suite = flags.JOB.value, flags.SUITE.value
  if name == "train":
    return f"train:{flags.NETWORK.value}"
  if not VARIANTS[name]:
    return name
  if suite is None or suite == "tables" and flags.FIGURE.value:
    suite = {"evaluate": "fused" if flags.FUSED.value else "prior",
             "benchmark": "figures" if flags.FIGURE.value else "tables"}[name]  # fmt: skip
  if suite not in VARIANTS[name]:
    known = ", ".join(variant for variant in VARIANTS[name] if variant != "figures")
    raise UserError(f"--suite={suite}: expected one of {known} for --job={name}")
  return f"{name}:{suite}"


def check(given: Sequence[str]) -> None:
  """given: names of the flags that were typed. UserError for one of another job, and for a value out of its bounds."""
  wanted = job()
  if foreign := [name for name in given if wanted not in JOBS_OF.get(name, {wanted})]:
    out = "leave it out" if len(foreign) == 1 else "leave them out"
    whose = "; ".join(map(_whose, foreign))
    raise UserError(f"{whose}: expected flags of {variant_flag(wanted)}; {out}, or change --job")
  for name, declared in DECLARED.items():
    value = declared.holder.value
    if wanted not in declared.jobs or value is None:
      continue
    checks = [(declared.check, one) for one in (value if isinstance(value, list) else [value])]
    for check, one in [*checks, (declared.of_list, value)]:
      if check is not None and not check.holds(one):
        raise UserError(f"--{name}={shown(value)}: expected {check.expected}")


def shown(value) -> str:
  text = ",".join(value) if isinstance(value, list) else str(value)
  return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _whose(name: str) -> str:
  return f"--{name} is of {' and '.join(_commands(JOBS_OF[name]))}{_methods(name)}"


def _commands(of: frozenset[str]) -> list[str]:
  found = []
  for job, variants in VARIANTS.items():
    mine = [variant for variant in variants if f"{job}:{variant}" in of]
    if job in of or mine and len(mine) == len(variants):
      found.append(f"--job={job}")
    elif mine:
      found.append(variant_flag(f"{job}:{mine[0]}") if len(mine) == 1 else f"--job={job} ({', '.join(mine)})")
  return found


def _methods(name: str) -> str:
  """Which --method uses an option, where not all of the diffusion prior's do."""
  options = [option for option, flag in flags.OPTIONS.items() if flag.name == name]
  using = [method for method, kind in METHODS.items()
           if options and options[0] in {field.name for field in dataclasses.fields(kind)}]  # fmt: skip
  return f" with --method={' or '.join(using)}" if 0 < len(using) < len(METHODS) - 1 else ""


def text(head: str, job: str | None = None) -> str:
  """The help: `head`, then every flag, or every one that a job knows, under its group, with its default and the jobs
  that know it."""
  lines, group = [head.strip()], None
  for name, declared in DECLARED.items():
    if job is not None and not any(known == job or known.startswith(f"{job}:") for known in declared.jobs):
      continue
    if declared.group != group:
      group = declared.group
      lines.append(f"\n{group}:")
    default = declared.holder.default
    value = "" if default in (None, [], "") else f"={shown(default)}"
    if isinstance(default, bool):
      value = "" if not default else " (yes; --no" + name + " for no)"
    words = f"{' '.join(declared.text.split())} [{in_words(declared.jobs)}]"
    lines.append(f"  --{name}{value}")
    lines += textwrap.wrap(words, WIDTH, initial_indent="      ", subsequent_indent="      ")
  lines += ["", "  --flagfile=FILE",
            "      Read flags from a file, one per line; flags on the command line take precedence.",
            "  --helpfull", "      These and the flags of all libraries, in absl's format."]  # fmt: skip
  return "\n".join(lines) + "\n"
