"""Two hundred uploads at once: does the page still answer, in bounded memory, and is everything given back?"""

import concurrent.futures
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from page_client import TOKEN
from test_browser import served

pytestmark = pytest.mark.slow
_BYTES = 8 << 20


def resident():
  """Bytes of memory that this process, and so the server in it, holds."""
  fields = Path("/proc/self/status").read_text(encoding="utf-8")
  return int(fields.split("VmRSS:")[1].split()[0]) << 10


def put(address, path, content):
  origin = address.removesuffix(f"/{TOKEN}/")
  request = urllib.request.Request(address + path, data=content, method="PUT", headers={"Origin": origin})
  try:
    with urllib.request.urlopen(request, timeout=120) as answer:
      return answer.status
  except urllib.error.HTTPError as error:
    return error.code
  except urllib.error.URLError:  # refused before all of it was sent
    return 0


def test_two_hundred_uploads_at_once(server, page):
  folder = page.ask("POST", "folders").json()["folder"]
  content, own = bytes(_BYTES), server.folders.get(folder)
  with served(server) as address, concurrent.futures.ThreadPoolExecutor(200) as threads:
    before = resident()
    asked = [threads.submit(put, address, f"folders/{folder}/files?path={k}.png", content) for k in range(200)]
    most = before
    while not all(one.done() for one in asked):
      concurrent.futures.wait(asked, timeout=0.05)
      most = max(most, resident())
    found = [one.result() for one in asked]
    with urllib.request.urlopen(address, timeout=30) as answer:
      assert answer.status == 200
  assert set(found) <= {204, 429, 0} and 1 <= found.count(204) == own.count and own.bytes == own.count * _BYTES
  assert most - before < 1 << 30 and server.uploads.running == 0
  page.ask("POST", f"folders/{folder}/close")
  assert not own.place.exists()
