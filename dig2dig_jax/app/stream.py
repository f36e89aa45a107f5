"""How does a running picture come to a browser? As MJPEG, a JPEG after the other in one response, without a script.

Served by this machine to itself, under the secret and the checks of `guard`.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator

import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from dig2dig_jax.app.guard import Guard, new_token

LOCAL = "127.0.0.1"
_BOUNDARY = "frame"
_QUALITY = 85
_WATCHERS = 8
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>dig2dig live</title>
<img src="frames" alt="the fused picture"></html>"""


class Pictures:
  """The newest picture, for all viewers. `show` may be called by any thread."""

  def __init__(self) -> None:
    self._lock = threading.Lock()
    self._jpeg, self._number, self._ended = b"", 0, False
    self.watchers = 0

  def show(self, image: np.ndarray) -> None:
    """uint8 [H, W, 1 or 3]. Without viewers only the first image is encoded."""
    if not self.watchers and self._number:
      return
    bgr = image if image.shape[-1] == 1 else image[..., ::-1]
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    with self._lock:
      self._jpeg, self._number = jpeg.tobytes(), self._number + 1

  def end(self) -> None:
    self._ended = True

  async def after(self, number: int) -> tuple[int, bytes] | None:
    """(its number, JPEG) of the newest picture once it is beyond `number`; None at the end."""
    while not self._ended:
      with self._lock:
        if self._number > number:
          return self._number, self._jpeg
      await asyncio.sleep(0.005)
    return None


def application(pictures: Pictures) -> Starlette:
  """The routes: the page, and the frames."""

  async def page(request: Request) -> Response:
    return HTMLResponse(_PAGE)

  async def parts() -> AsyncIterator[bytes]:
    pictures.watchers += 1
    try:
      number = 0
      while (found := await pictures.after(number)) is not None:
        number, jpeg = found
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        yield head.encode() + jpeg + b"\r\n"
    finally:
      pictures.watchers -= 1

  async def frames(request: Request) -> Response:
    if pictures.watchers >= _WATCHERS:
      return Response(f"expected at most {_WATCHERS} who watch", 429)
    return StreamingResponse(parts(), media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}")

  return Starlette(routes=[Route("/", page), Route("/frames", frames)])


class Page:
  """A context in which the page is there. address: with the secret, to be opened in a browser of this machine."""

  def __init__(self, pictures: Pictures, port: int = 0):
    self._pictures = pictures
    self._socket = socket.create_server((LOCAL, port))
    port = self._socket.getsockname()[1]
    token = new_token()
    self.address = f"http://{LOCAL}:{port}/{token}/"
    guarded = Guard(application(pictures), token=token, hosts={f"{LOCAL}:{port}", f"localhost:{port}"})
    config = uvicorn.Config(guarded, log_level="critical", access_log=False, server_header=False, lifespan="off",
                            timeout_graceful_shutdown=1)  # fmt: skip
    self._server = uvicorn.Server(config)
    run, sockets = self._server.run, {"sockets": [self._socket]}
    self._thread = threading.Thread(target=run, kwargs=sockets, name="page", daemon=True)

  def __enter__(self) -> "Page":
    self._thread.start()
    return self

  def __exit__(self, *_) -> None:
    self._pictures.end()
    self._server.should_exit = True
    self._thread.join(5)
    self._socket.close()
