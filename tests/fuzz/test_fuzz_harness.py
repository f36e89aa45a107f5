"""Is each way in which a case can go wrong found, told apart and survived?"""

import os
import pathlib
import subprocess
import sys

import pytest

from . import run, suites

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_every_fault_is_a_failure_with_its_case():
  result = run("_faulty", range(24), processes=2)
  assert result.outcomes.total() == 24 and result.outcomes["failed"] == len(result.failures)
  assert set(result.outcomes) == {"toy -> fine", "failed"}
  said = " ".join(failure for _, failure in result.failures)
  for part in ("KeyError: 'this'", "asserted", "exit code -11", "it took over 2 s", "MB", "a warning", "it printed"):
    assert part in said, part
  assert [case for case, _ in run("_faulty", [min(result.failures)[0]]).failures] == [min(result.failures)[0]]


@pytest.mark.slow
@pytest.mark.parametrize("suite", suites())
def test_every_suite_starts_from_the_command_line(suite, tmp_path):
  env = {**os.environ, "PYTHONPATH": "", "TMPDIR": str(tmp_path)}  # pytest's own path has more in it
  command = [sys.executable, "-m", "tests.fuzz", f"--suite={suite}", "--case=0"]
  found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
  assert found.returncode == 0, found.stderr
