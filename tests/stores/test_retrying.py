"""Is what passes tried again, with growing pauses, and all else told at once, without a secret?"""

import errno

import pytest

from dig2dig_jax.stores import retrying
from dig2dig_jax.stores.retrying import Tries, persistent


def of_library(name, **fields):
  """An error as a network library has it, by no name that Python knows."""
  kind = type(name, (Exception,), {"__module__": "botocore.exceptions"})
  error = kind("https://key:secret@host/?X-Amz-Signature=secret")
  for field, value in fields.items():
    setattr(error, field, value)
  return error


def status(number):
  return of_library("ClientError", response={"ResponseMetadata": {"HTTPStatusCode": number}})


def failing(*errors):
  left = list(errors)

  def call():
    if left:
      raise left.pop(0)
    return "content"

  return call


@pytest.mark.parametrize("error", [
  status(503), status(500), status(429), of_library("EndpointConnectionError"), ConnectionResetError(104, "reset"),
  TimeoutError(), OSError(errno.EBUSY, "Slow Down"),
])  # fmt: skip
def test_what_passes_is_tried_again_after_growing_pauses(error):
  pauses, tries = [], Tries()
  assert persistent(failing(error, error, error), tries=tries, pause=pauses.append) == "content"
  assert tries.count == 3 and len(pauses) == 3
  for number, pause in enumerate(pauses):
    assert 0.5 * retrying.FIRST * 2**number <= pause <= retrying.FIRST * 2**number
  assert tries.lines("s3://")[0].startswith("s3://: 3 requests were tried again (")


@pytest.mark.parametrize("error, kind, found", [
  (status(403), PermissionError, "no permission"),
  (status(404), FileNotFoundError, "nothing there"),
  (status(400), OSError, "status 400"),
  (of_library("NoCredentialsError"), PermissionError, "no credentials"),
  (PermissionError("AccessDenied secret"), PermissionError, "no permission"),
  (FileNotFoundError("The specified bucket does not exist"), FileNotFoundError, "no such bucket"),
  (NotImplementedError(), OSError, "only be read"),
  (OSError(errno.ENOSPC, "No space left on device"), OSError, "No space left"),
])  # fmt: skip
def test_what_does_not_pass_is_told_at_once(error, kind, found):
  pauses = []
  with pytest.raises(kind) as raised:
    persistent(failing(error), tries=Tries(), pause=pauses.append)
  assert found in raised.value.strerror and not pauses
  assert "secret" not in str(raised.value)


def test_after_the_last_try_the_store_gives_no_answer():
  pauses = []
  with pytest.raises(OSError) as raised:
    persistent(failing(*[status(503)] * 99), tries=Tries(), pause=pauses.append)
  assert raised.value.errno == errno.EIO and "no answer in 7 tries (status 503)" in raised.value.strerror
  assert len(pauses) == retrying.TRIES - 1


def test_a_fault_of_the_program_is_not_hidden():
  with pytest.raises(ZeroDivisionError):
    persistent(lambda: 1 // 0, tries=Tries(), pause=lambda seconds: pytest.fail("waited"))
