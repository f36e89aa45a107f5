"""Is each way in which a case can go wrong found, told apart and survived?"""

from . import run


def test_every_fault_is_a_failure_with_its_case():
  result = run("_faulty", range(24), processes=2)
  assert result.outcomes.total() == 24 and result.outcomes["failed"] == len(result.failures)
  assert set(result.outcomes) == {"toy -> fine", "failed"}
  said = " ".join(failure for _, failure in result.failures)
  for part in ("KeyError: 'this'", "asserted", "exit code -11", "it took over 2 s", "MB", "a warning", "it printed"):
    assert part in said, part
  assert [case for case, _ in run("_faulty", [min(result.failures)[0]]).failures] == [min(result.failures)[0]]
