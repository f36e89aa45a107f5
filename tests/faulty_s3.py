"""An S3 server on this machine, which fails from time to time as real ones do: moto's, behind a few faults."""

import contextlib
import itertools
import logging
import os
import threading

KEYS = {
  "AWS_ACCESS_KEY_ID": "no-key", "AWS_SECRET_ACCESS_KEY": "no-secret-that-may-be-shown",
  "AWS_DEFAULT_REGION": "us-east-1",
}  # fmt: skip
BUCKET = "pairs"
_BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Faulty:
  """A WSGI application before another: of every `every` requests one is refused as too many, one meets an internal
  error, one loses its answer's second half. `count`: how many of each."""

  def __init__(self, app, every):
    self._app, self._every = app, every
    self._numbers, self._lock = itertools.count(1), threading.Lock()
    self.count = {"busy": 0, "internal": 0, "cut": 0}

  def __call__(self, environ, start_response):
    with self._lock:
      number = next(self._numbers) % self._every if self._every else -1
    if number == 0:
      self.count["busy"] += 1
      start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(_BUSY)))])
      return [_BUSY]
    if number == self._every // 3:
      self.count["internal"] += 1
      start_response("500 Internal Server Error", [("Content-Length", "0")])
      return [b""]
    answer = self._app(environ, start_response)
    if number == 2 * self._every // 3 and environ["REQUEST_METHOD"] == "GET":
      body = b"".join(answer)
      if len(body) > 1:
        self.count["cut"] += 1
        return [body[: len(body) // 2]]  # the length that was announced is of the whole
    return answer


@contextlib.contextmanager
def server(every=0):
  """Yields (address of a bucket, client of boto3, the `Faulty`). While it runs, the environment has its keys."""
  import boto3
  from moto.server import ThreadedMotoServer

  logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
  before = {name: os.environ.get(name) for name in (*KEYS, "AWS_ENDPOINT_URL")}
  moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
  moto.start()
  host, port = moto.get_host_and_port()
  os.environ.update(KEYS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"})
  try:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    faulty = Faulty(moto._server.app, every)
    moto._server.app = faulty
    yield f"s3://{BUCKET}", client, faulty
  finally:
    moto.stop()
    for name, value in before.items():
      if value is None:
        os.environ.pop(name, None)
      else:
        os.environ[name] = value
