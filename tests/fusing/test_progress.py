"""Does a line every ten seconds say what is left, by the time of the pairs alone?"""

from dig2dig_jax.fusing import progress


def test_the_time_of_compilation_is_not_that_of_pairs_to_come(monkeypatch, capsys):
  clock = iter([0.0, 5.0, 45.0, 46.0, 60.0])
  monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
  with progress.Progress(10) as bar:
    bar.at(1)  # within the first ten seconds
    bar.at(2, compiling=40.0)
    bar.at(3, compiling=40.0)  # one second after the last line
    bar.at(4, compiling=40.0)
  lines = [line for line in capsys.readouterr().err.splitlines() if "pairs done" in line]
  assert lines == ["2 of 10 pairs done, about 20 s left", "4 of 10 pairs done, about 30 s left"]
