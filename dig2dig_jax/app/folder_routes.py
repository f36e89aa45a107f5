"""How is a folder of scenes fused on the page? One scene after the other, each a turn of the thread that computes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dig2dig_jax.app import command, controls, picture
from dig2dig_jax.app.folder import Folder, described, known_task
from dig2dig_jax.app.jobs import Superseded, Ticket, Worker
from dig2dig_jax.app.registry import Registry, Uploads
from dig2dig_jax.app.scene import fits, mended
from dig2dig_jax.app.stages import Stages
from dig2dig_jax.data.images import write_png
from dig2dig_jax.errors import UserError, one_line


class FolderRoutes:
  """Beside those of `server.Server`, whose worker they share: a scene of another tab comes between two of a folder."""

  def __init__(self, stages: Stages, folders: Registry[Folder], uploads: Uploads, worker: Worker, bucket: int):
    self.stages, self.folders, self.uploads, self.worker, self.bucket = stages, folders, uploads, worker, bucket

  def routes(self) -> list[Route]:
    return [
      Route("/folders", self.open, methods=["POST"]),
      Route("/folders/{folder}/files", self.receive, methods=["PUT"]),
      Route("/folders/{folder}/look", self.look, methods=["POST"]),
      Route("/folders/{folder}/run", self.run, methods=["POST"]),
      Route("/folders/{folder}/cancel", self.cancel, methods=["POST"]),
      Route("/folders/{folder}/close", self.close, methods=["POST"]),
      Route("/folders/{folder}/fused.zip", self.results),
    ]

  async def open(self, request: Request) -> Response:
    return JSONResponse({"folder": self.folders.open()})

  async def receive(self, request: Request) -> Response:
    folder = self._folder(request)
    try:
      with self.uploads.one():
        await folder.receive(request.query_params.get("path", ""), request.stream())
    except UserError as error:
      raise HTTPException(413, folder.said(str(error))) from None
    except OSError as error:
      raise HTTPException(422, f"expected a name that can be kept, found {error.strerror}; rename it") from None
    except ClientDisconnect:
      return Response(status_code=400)  # nobody reads it
    return Response(status_code=204)

  async def look(self, request: Request) -> Response:
    """Which scenes there are, and of which task."""
    folder = self._folder(request)
    try:
      return JSONResponse(described(await asyncio.wrap_future(self.worker.submit(folder.look))))
    except UserError as error:
      raise HTTPException(422, folder.said(str(error))) from None

  async def run(self, request: Request) -> Response:
    """Lines of JSON: {"scene", "stage"}, {"scene", "done"} or {"scene", "error"}; {"finished"} or {"superseded"}."""
    folder = self._folder(request)
    if folder.found is None:
      raise HTTPException(422, "expected files that were looked at; drop the folder again")
    try:
      task = known_task(request.query_params.get("task", folder.found.task))
      align = "auto" if request.query_params.get("align") == "auto" else "off"
      first = len(folder.found.scenes[0][1])
      asked = controls.parse({"task": task, "align": align}, first)
    except UserError as error:
      raise HTTPException(422, str(error)) from None
    folder.results, folder.failed, folder.settings = {}, {}, command.flag_file(asked, first)
    ticket, loop = folder.newest(), asyncio.get_running_loop()

    async def lines() -> AsyncIterator[str]:
      try:
        for number in range(len(folder.found.scenes)):
          said: asyncio.Queue = asyncio.Queue()

          def tell(line: dict | None, said=said) -> None:
            loop.call_soon_threadsafe(said.put_nowait, line)

          self.worker.submit(lambda number=number, tell=tell: self._fused(folder, number, task, align, ticket, tell))
          while (line := await said.get()) is not None:
            yield json.dumps({"scene": number, **line}) + "\n"
          if ticket.cancelled:
            yield json.dumps({"superseded": True}) + "\n"
            return
        yield json.dumps({"finished": {"fused": len(folder.results), "failed": len(folder.failed)}}) + "\n"
      finally:
        ticket.cancel()

    return StreamingResponse(lines(), media_type="application/x-ndjson")

  def _fused(
    self, folder: Folder, number: int, task: str, align: str, ticket: Ticket, tell: Callable[[dict | None], None]
  ) -> None:
    assert folder.found is not None
    name, scene = folder.found.scenes[number][0], None

    def say(stage: str) -> None:
      ticket.check()
      tell({"stage": stage})

    try:
      ticket.check()
      scene, opened = folder.scene(number, task)
      settings = fits(controls.parse({"task": task, "align": align}, len(scene.files)), opened)
      found = picture.fused(self.stages, scene, opened, settings, "full", say, bucket=self.bucket)
      path = folder.out / f"{number:04d}.png"
      write_png(path, found.fused, bit_depth=8)
      folder.results[name] = path
      tell({"done": list(found.lines)})
    except Superseded:
      pass
    except UserError as error:
      folder.failed[name] = folder.said(mended(error, scene) if scene else str(error))
      tell({"error": folder.failed[name]})
    except Exception as error:  # of this scene alone: the others go on
      folder.failed[name] = folder.said(f"expected a fused image, found {one_line(error)[:200]}")
      tell({"error": folder.failed[name]})
    finally:
      tell(None)

  async def cancel(self, request: Request) -> Response:
    self._folder(request).newest()
    return Response(status_code=204)

  async def close(self, request: Request) -> Response:
    self.folders.close(request.path_params["folder"])
    return Response(status_code=204)

  async def results(self, request: Request) -> Response:
    folder = self._folder(request)
    if not folder.results:
      raise HTTPException(409, "expected scenes that were fused, found none yet; start the queue")
    path = await asyncio.to_thread(folder.packed)
    return FileResponse(path, filename="fused.zip", background=BackgroundTask(path.unlink, missing_ok=True))

  def _folder(self, request: Request) -> Folder:
    try:
      return self.folders.get(request.path_params["folder"])
    except KeyError:
      raise HTTPException(410, "expected a folder that is still open, found none; drop it again") from None
