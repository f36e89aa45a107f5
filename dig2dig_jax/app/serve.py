"""How does the page's server live? From the address that it prints to Ctrl-C, and nothing of it stays."""

import contextlib
import ipaddress
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import uvicorn

from dig2dig_jax.app import controls, limits
from dig2dig_jax.app.guard import Guard, new_token
from dig2dig_jax.app.jobs import Worker
from dig2dig_jax.app.server import Server, application
from dig2dig_jax.app.stages import Stages
from dig2dig_jax.data import guess
from dig2dig_jax.errors import UserError
from dig2dig_jax.fusing import compile_cache
from dig2dig_jax.methods.fuse import keys
from dig2dig_jax.priors.prior import Prior

LOCAL = "127.0.0.1"
_CONNECTIONS = 64
_PATIENCE = 2  # seconds that open connections are waited for at the end


def run(
  prior: Prior, *, host: str = LOCAL, port: int = 0, cache: Path | None = None, named_prior: str = "",
  interrupted: int = 130, say: Callable[[str], None] = print, note: Callable[[str], None] = print,
) -> None:
  """Serves the page until Ctrl-C, which is raised as KeyboardInterrupt, or ends the process while it compiles.

  port: 0 for any that is free. cache: folder of compiled programs. named_prior: what the command has to say for the
  same prior. interrupted: the exit status of such an end. say: told the address. note: told of everything else.
  UserError for an address that cannot be had.
  """
  listening = _listening(host, port)
  port = listening.getsockname()[1]
  token, worker, ahead = new_token(), Worker(), Worker()
  signal.signal(signal.SIGTERM, _ended)  # so that what is temporary goes then, too
  with tempfile.TemporaryDirectory(prefix="dig2dig-app-", ignore_cleanup_errors=True) as folder:
    stages = Stages(prior, cache)
    server = Server(stages, Path(folder), worker, prior=named_prior)
    guarded = Guard(application(server), token=token, **_names(host, port))
    ahead.submit(lambda: warm(stages))
    if host != LOCAL:
      note(f"note: --host={host}: whoever on the network reads the address below can use the page, and nothing is "
           "encrypted on the way; leave --host out to stay on this machine")
    say(f"http://{_in_address(LOCAL if _is_any(host) else host)}:{port}/{token}/   in a browser; Ctrl-C ends it")
    config = uvicorn.Config(
      guarded, log_level="critical", access_log=False, server_header=False, lifespan="off",
      limit_concurrency=_CONNECTIONS, timeout_graceful_shutdown=_PATIENCE,
    )  # fmt: skip
    try:
      uvicorn.Server(config).run(sockets=[listening])
      raise KeyboardInterrupt  # uvicorn does not where the shell had SIGINT ignored, as in the background of a script
    except (KeyboardInterrupt, SystemExit) as end:
      if not (worker.busy or ahead.busy):
        raise
      status = end.code if isinstance(end, SystemExit) else None
  # A compiler at work cannot be stopped but with the process.
  compile_cache.stop()
  with contextlib.suppress(OSError, ValueError):
    sys.stdout.flush()
    if status is None:
      os.write(2, b"stopped\n")
  os._exit(interrupted if status is None else status)


def warm(stages: Stages) -> None:
  """Makes the programs of small pairs, and of small brackets of three, ready: the first picture then waits for none."""
  def quiet(told: str) -> None:
    pass

  source = np.zeros((limits.SMALL, limits.SMALL, 3), np.float32)
  found = stages.measured(source, quiet)
  for task, count in (*((task, 2) for task in guess.TASKS), ("exposure", 3), ("focus", 3)):
    settings, images = controls.parse({"task": task}, count), np.stack([source] * count)
    stages.blended(settings.options, controls.chroma(settings, count), images, images, quiet)
  stages.cleaned(keys(jax.random.key(0))[1], found, quiet)


def _listening(host: str, port: int) -> socket.socket:
  try:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(address)
    found.listen()  # the printed address must work at once
  except OSError as error:
    raise UserError(f"--host={host} --port={port}: expected an address of this machine that is free, found "
                    f"{error.strerror}; leave --port out for any that is") from error
  return found


def _names(host: str, port: int) -> dict:
  """Of `Guard`: what a browser may call the server."""
  names = {LOCAL, "localhost", _in_address(host), socket.gethostname()} if host != LOCAL else {LOCAL, "localhost"}
  known = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
  return {"hosts": known, "any_address": _is_any(host)}


def _is_any(host: str) -> bool:
  try:
    return ipaddress.ip_address(host).is_unspecified
  except ValueError:
    return False


def _in_address(host: str) -> str:
  return f"[{host}]" if ":" in host else host


def _ended(number, frame):
  raise SystemExit(128 + number)
