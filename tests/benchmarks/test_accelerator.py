"""Is the run for a lent GPU whole, does it keep its time, and tell what is missing? And what do devices exchange?"""

import sys

import pytest
from absl.testing import flagsaver

from dig2dig_jax.assets import ROOT
from dig2dig_jax.benchmarks import accelerator, kernel_rows, ratio, sharded
from dig2dig_jax.cli import flags, launcher


@pytest.mark.parametrize("small", [False, True])
def test_every_row_is_a_command_that_the_launcher_reads(tmp_path, small):
  found = accelerator.tasks(tmp_path, small=small)
  assert len({task.name for task in found}) == len(found) >= 7
  for task in found[1:]:
    with flagsaver.flagsaver():
      assert launcher.parse(["launch.py", *task.command[2:]]) == ["launch.py"]
      assert flags.SUITE.value == "speed" and flags.KERNELS.value in ("on", "off")


def test_what_fails_or_takes_too_long_or_comes_too_late_is_told_and_the_rest_runs(tmp_path, capsys):
  def task(name, code, seconds=60.0):
    return accelerator.Task(name, [sys.executable, "-c", code], seconds)

  found = [task("well", "print('a table')"), task("ill", "raise SystemExit('out of memory')"),
           task("slow", "import time; time.sleep(60)", 0.5)]  # fmt: skip
  assert accelerator.run(found, tmp_path, seconds=120) == 2
  told = capsys.readouterr().out
  assert "## well: " in told and "a table" in told and "status 1" in told and "out of memory" in told
  assert "status stopped after 0 s" in told or "status stopped after 1 s" in told
  assert "a table" in (tmp_path / "well.txt").read_text()
  assert accelerator.run(found[:1], tmp_path, seconds=1) == 1
  assert "well: not begun" in capsys.readouterr().out


def test_kernels_off_and_on_are_compared():
  found = kernel_rows.row(kernel_rows.SMALL[0], repeats=1)
  assert found.apart < 0.02 and min(found.seconds) > 0
  assert found.megabytes[1] < 0.75 * found.megabytes[0]  # four arrays of six
  assert found.h100[1] == pytest.approx(found.megabytes[1] * 1e6 / 3.35e12, rel=0.01)
  assert "2x8x8x512, residual" in kernel_rows.markdown([found])


def test_what_a_compiled_program_exchanges_is_read_from_its_text():
  text = """
  %all-reduce.1 = f32[32,4]{1,0} all-reduce(f32[32,4]{1,0} %a), channel_id=1
  %permute = bf16[1,1,16,8]{3,2,1,0} collective-permute(bf16[1,1,16,8]{3,2,1,0} %b), channel_id=2
  %gather = (f32[1,8]{1,0}, f32[4,8]{1,0}) all-gather-start(f32[1,8]{1,0} %c), channel_id=3
  %done = f32[4,8]{1,0} all-gather-done((f32[1,8]{1,0}, f32[4,8]{1,0}) %gather)
  %pair = (f32[2]{0}, f32[3]{0}) all-reduce(f32[2]{0} %d, f32[3]{0} %e), channel_id=4
  """
  assert sharded.exchanged(text) == {"all-reduce": 4 * 128 + 20, "collective-permute": 2 * 128, "all-gather": 4 * 32}


def test_settings_are_not_compared_with_another_checkout(capsys):
  with pytest.raises(SystemExit) as ended:
    ratio.main(["--job=settings", f"--against={ROOT}"])
  assert ended.value.code == 2 and "error: --against: expected --job=network or gains" in capsys.readouterr().err
