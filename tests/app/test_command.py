"""Does `dig2dig app` start, say what it needs, and end with nothing left behind?"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from absl.testing import flagsaver

from dig2dig_jax.cli import commands, main

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (["--port=eighty"], "--port=eighty: expected 0 to 65535"),
    (["--port=70000"], "--port=70000: expected 0 to 65535"),
    (["picture.png"], "expected --port=, --host=, --prior=, --compile_cache=, found picture.png"),
    (["--share=yes"], "found --share=yes"),
    (["--prior=/nowhere"], "/nowhere: expected "),
  ],
)
def test_what_cannot_be_is_one_line_and_status_2(words, said, capsys):
  pytest.importorskip("starlette", reason="the page needs the extra [app]")
  assert commands.run
  with flagsaver.flagsaver():
    assert main.main(["app", *words]) == 2
  refused = capsys.readouterr().err
  assert said in refused and refused.startswith("error: ") and refused.count("\n") == 1


def test_without_the_extra_one_line_says_what_to_install():
  code = (
    "import sys\n"
    "class Without:\n"
    "  def find_spec(self, name, path=None, target=None):\n"
    "    if name.split('.')[0] == 'starlette': raise ModuleNotFoundError(f'no {name}', name='starlette')\n"
    "sys.meta_path.insert(0, Without())\n"
    "from dig2dig_jax.cli.main import main\n"
    "sys.exit(main(['app']))\n"
  )
  found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
  assert found.returncode == 2 and found.stdout == ""
  assert found.stderr == ("error: dig2dig app: expected the packages starlette and uvicorn, found no starlette; "
                          "pip install 'dig2dig_jax[app]'\n")  # fmt: skip


def _ignoring():
  signal.signal(signal.SIGINT, signal.SIG_IGN)


def _heeding():
  signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("number", "ignored"), [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGINT, True)]
)
def test_it_serves_its_address_to_those_who_know_it_until_it_is_told_to_stop(number, ignored, tiny_prior, tmp_path):
  """ignored: as by a shell that starts it in the background of a script."""
  pytest.importorskip("starlette", reason="the page needs the extra [app]")
  command = [sys.executable, "-m", "dig2dig_jax.cli.main", "app", f"--prior={tiny_prior}", "--compile_cache="]
  running = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             preexec_fn=_ignoring if ignored else _heeding)  # fmt: skip
  with running, contextlib.ExitStack() as stack:
    stack.callback(running.kill)
    line = running.stdout.readline()
    address = re.match(r"(http://127\.0\.0\.1:\d+/)([\w-]{32})/", line)
    with urllib.request.urlopen(address[0], timeout=20) as answer:
      assert "<title>dig2dig" in answer.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="403"):
      urllib.request.urlopen(address[1], timeout=20)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    running.send_signal(number)
    told, notes = running.communicate(timeout=60)
  assert running.returncode == 128 + number and told == "" and list(tmp_path.iterdir()) == []
  assert notes == ("stopped\n" if number == signal.SIGINT else "")
