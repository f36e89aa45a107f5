"""Four hundred mutated image files; `python -m tests.fuzz` tries as many as one likes."""

from . import run


def test_mutated_images_are_read_or_refused():
  result = run("images", range(400))
  assert not result.failures, result.failures
  ends = {outcome.rpartition(" -> ")[2] for outcome in result.outcomes}
  assert ends == {"image", "refused"} and result.outcomes.total() == 400
  assert len(result.outcomes) > 60  # kinds of file and of mutation, and what came of them
