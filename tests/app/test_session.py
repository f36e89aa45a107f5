"""Do tabs keep to themselves, does newer work end older work, and does nothing stay behind?"""

import asyncio
import threading
import time

import pytest
from page_client import HOST, TOKEN

QUICK = {"bands": 1, "restore": "off"}


def test_two_tabs_have_their_own_scenes(page, pair):
  first, _ = page.drop(pair)
  second, _ = page.drop({"far.png": pair["vi.png"], "near.png": pair["ir.png"]})
  done = page.fused(first, "preview", task="thermal", options=QUICK)
  other = page.fused(second, "preview", task="focus", options=QUICK)
  assert [one["name"] for one in done["sources"]] == ["ir.png", "vi.png"]
  assert [one["name"] for one in other["sources"]] == ["near.png", "far.png"]
  assert page.ask("GET", f"tabs/{first}/preview/{done['version']}/source/0.png").content != page.ask(
    "GET", f"tabs/{second}/preview/{other['version']}/source/1.png").content  # fmt: skip
  page.ask("POST", f"tabs/{first}/close")
  assert page.ask("POST", f"tabs/{first}/fuse", json={}).status_code == 410
  assert page.ask("GET", f"tabs/{second}/preview/{other['version']}/source/0.png").status_code == 200


def test_closed_tabs_and_those_that_are_too_many_leave_no_files(page, server, pair):
  from dig2dig_jax.app import limits

  tabs = [page.send(pair) for _ in range(limits.TABS + 2)]
  folders = {path.name for path in server.tabs.place.iterdir()}
  assert folders == set(tabs[2:])
  for tab in tabs:
    page.ask("POST", f"tabs/{tab}/close")
  assert not list(server.tabs.place.iterdir())


def test_files_of_one_name_are_told_apart(page, pair):
  from dig2dig_jax.app.session import apart

  assert apart(["a.png", "b.png", "a.png"]) == ["1/a.png", "b.png", "3/a.png"]


def test_a_newer_request_ends_the_older_one_between_two_stages(page, server, pair):
  tab, _ = page.drop(pair)
  own, stages = server.tabs.get(tab), []
  from dig2dig_jax.app import controls, picture
  from dig2dig_jax.app.jobs import Superseded

  ticket = own.newest()

  def say(stage):
    ticket.check()
    stages.append(stage)
    if stage.startswith("looking"):
      own.newest()

  settings = controls.parse({"task": "thermal"}, 2)
  with pytest.raises(Superseded):
    picture.fused(server.stages, own.scene, own.opened, settings, "full", say, bucket=8)
  assert stages[-1].startswith("looking") and "full" not in own.pictures


def test_requests_wait_for_one_another_and_one_that_waits_can_be_cancelled(page, server, pair):
  tab, _ = page.drop(pair)
  hold, answered = threading.Event(), []
  server.worker.submit(hold.wait)
  while not server.worker.busy:  # on a loaded machine its thread takes a moment
    time.sleep(0.01)
  asking = threading.Thread(target=lambda: answered.append(page.fuse(tab, "preview", task="thermal")[-1]))
  asking.start()
  while server.worker._waiting.empty():
    time.sleep(0.01)
  assert server.worker.busy and not answered
  assert page.ask("POST", f"tabs/{tab}/cancel").status_code == 204
  hold.set()
  asking.join(30)
  assert answered == [{"superseded": True}]


def asked(server, path, *, method="PUT", messages):
  """A request by ASGI's own messages; statuses of the answers. messages: an async iterator of what arrives."""
  from dig2dig_jax.app.guard import Guard
  from dig2dig_jax.app.server import application

  guarded, sent = Guard(application(server), token=TOKEN, hosts=[HOST]), []
  headers = [(b"host", HOST.encode()), (b"origin", f"http://{HOST}".encode())]
  scope = {"type": "http", "method": method, "path": f"/{TOKEN}/{path}", "raw_path": b"", "headers": headers,
           "query_string": b"name=a.png", "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 8000),
           "client": ("127.0.0.1", 5), "root_path": ""}  # fmt: skip

  async def send(message):
    sent.append(message)

  async def run():
    await guarded(scope, messages.__anext__, send)
    return [message["status"] for message in sent if message["type"] == "http.response.start"]

  return run()


def test_a_cancelled_upload_leaves_nothing(page, server):
  tab = page.ask("POST", "tabs").json()["tab"]

  async def broken():
    yield {"type": "http.request", "body": b"x" * 1000, "more_body": True}
    assert (server.tabs.get(tab).folder / "000").exists()
    yield {"type": "http.disconnect"}

  asyncio.run(asked(server, f"tabs/{tab}/files/0", messages=broken()))
  own = server.tabs.get(tab)
  assert not list(own.folder.iterdir()) and own.bytes == 0 and server.uploads.running == 0
  assert page.ask("PUT", f"tabs/{tab}/files/0?name=a.png", content=b"1").status_code == 200


def test_no_more_uploads_run_at_a_time_than_are_allowed(page, server):
  from dig2dig_jax.app import limits

  tab, folder = page.ask("POST", "tabs").json()["tab"], page.ask("POST", "folders").json()["folder"]

  async def all_at_once():
    gate = asyncio.Event()

    async def slow():
      yield {"type": "http.request", "body": b"x", "more_body": True}
      await gate.wait()
      yield {"type": "http.request", "body": b"", "more_body": False}

    # Of scenes and of folders together.
    paths = [f"tabs/{tab}/files/{k % limits.FILES}" for k in range(199)]
    paths.insert(1, f"folders/{folder}/files")
    tasks = [asyncio.create_task(asked(server, path, messages=slow())) for path in paths]
    await asyncio.sleep(0.2)
    gate.set()
    return [status for found in await asyncio.gather(*tasks) for status in found]

  found = asyncio.run(all_at_once())
  assert sorted(found) == [200] * (limits.UPLOADS - 1) + [204] + [429] * (200 - limits.UPLOADS)
  assert server.uploads.running == 0
  page.ask("POST", f"folders/{folder}/close")
  assert page.ask("GET", "").status_code == 200
