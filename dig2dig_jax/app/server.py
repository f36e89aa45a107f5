"""What does the page ask for, and what does it get? The routes."""

import asyncio
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dig2dig_jax import pages
from dig2dig_jax.app import answers, command, controls, downloads, limits, picture, rivals
from dig2dig_jax.app.folder import Folder
from dig2dig_jax.app.folder_routes import FolderRoutes
from dig2dig_jax.app.jobs import Worker
from dig2dig_jax.app.registry import Registry, Uploads
from dig2dig_jax.app.scene import fits, mended
from dig2dig_jax.app.session import Tab, usable
from dig2dig_jax.app.stages import Stages
from dig2dig_jax.data import guess
from dig2dig_jax.errors import UserError

ASSETS = {"": ("index.html", "text/html"), **{name: (name, kind) for name, kind in (
  ("app.css", "text/css"), ("icon.svg", "image/svg+xml"), ("app.js", "text/javascript"),
  ("compare.js", "text/javascript"), ("controls.js", "text/javascript"), ("upload.js", "text/javascript"),
  ("queue.js", "text/javascript"),
)}}  # fmt: skip
SHARED = {pages.STYLE: "text/css", pages.DIVIDER: "text/javascript"}


class Server:
  """The routes, as methods. bucket: as of the fuse job."""

  def __init__(self, stages: Stages, folder: Path, worker: Worker, *, prior: str = "", bucket: int = picture.BUCKET):
    self.stages, self.worker, self.bucket, self.prior = stages, worker, bucket, prior
    self.tabs, self.uploads = Registry(Tab, folder, most=limits.TABS), Uploads()
    self.folders = Registry(Folder, folder, most=limits.FOLDERS, prefix="folder-")
    self._of_folders = FolderRoutes(stages, self.folders, self.uploads, worker, bucket)

  def routes(self) -> list[Route]:
    found = [Route(f"/{path}", self.asset, name=path or "index") for path in (*ASSETS, *SHARED)]
    return [
      *found,
      Route("/controls", self.controls),
      Route("/tabs", self.open_tab, methods=["POST"]),
      Route("/tabs/{tab}/files/{number:int}", self.receive, methods=["PUT"]),
      Route("/tabs/{tab}/open", self.open_scene, methods=["POST"]),
      Route("/tabs/{tab}/fuse", self.fuse, methods=["POST"]),
      Route("/tabs/{tab}/rivals/{method}", self.rival, methods=["POST"]),
      Route("/tabs/{tab}/cancel", self.cancel, methods=["POST"]),
      Route("/tabs/{tab}/close", self.close, methods=["POST"]),
      Route("/tabs/{tab}/{kind}/{version:int}/{what}/{number:int}.png", self.part),
      Route("/tabs/{tab}/download/{name}", self.download),
      *self._of_folders.routes(),
    ]

  async def asset(self, request: Request) -> Response:
    name = request.url.path.strip("/")
    if name in SHARED:
      return Response(pages.text(name), media_type=SHARED[name])
    name, kind = ASSETS[name]
    return Response((resources.files("dig2dig_jax.app") / "page" / name).read_bytes(), media_type=kind)

  async def controls(self, request: Request) -> Response:
    return JSONResponse({
      **controls.described(), "most_files": limits.FILES, "most_folder_files": limits.FOLDER_FILES,
      "small": limits.SMALL, "plain": list(picture.PLAIN), "rivals": rivals.described(),
    })

  async def open_tab(self, request: Request) -> Response:
    return JSONResponse({"tab": self.tabs.open()})

  async def receive(self, request: Request) -> Response:
    tab, name = self._tab(request), usable(request.query_params.get("name", ""))
    try:
      with self.uploads.one():
        await tab.receive(request.path_params["number"], name, request.stream())
    except UserError as error:
      raise HTTPException(413, str(error)) from None
    except ClientDisconnect:
      return Response(status_code=400)  # nobody reads it
    return JSONResponse({"name": name})

  async def open_scene(self, request: Request) -> Response:
    """What the files seem to be."""
    tab = self._tab(request)
    try:
      scene = tab.gather()
      try:
        tab.opened = await asyncio.wrap_future(self.worker.submit(scene.opened))
      except UserError as error:
        raise UserError(mended(error, scene)) from None
    except UserError as error:
      raise HTTPException(422, str(error)) from None
    found = tab.opened
    files = [{"name": name, "size": list(size)[::-1]} for name, size in zip(scene.names, found.sizes, strict=True)]
    return JSONResponse({"files": files, "task": found.task, "order": found.order})

  async def fuse(self, request: Request) -> Response:
    """Lines of JSON while it is computed."""
    tab, asked = self._tab(request), await answers.settings(request)
    kind = asked.get("kind")
    if kind not in picture.KINDS or tab.opened is None:
      raise HTTPException(422, "expected files that are opened, and preview or full; drop the files again")
    return answers.as_it_comes(self.worker, tab.newest(), lambda say: self._fused(tab, asked, kind, say), tab.mended)

  def _fused(self, tab: Tab, asked: dict, kind: str, say: Callable[[str], None]) -> dict:
    scene, opened = tab.scene, tab.opened
    asked_for = controls.parse(asked, len(scene.files))
    settings = fits(asked_for, opened)
    found = picture.fused(self.stages, scene, opened, settings, kind, say, bucket=self.bucket)
    say("showing")
    version = tab.keep(kind, found)
    order = scene.ordered(settings, opened)
    names = guess.usual_names(settings.task, len(order))
    lines = [f"task {opened.task}, by {opened.why}; --task= overrides this"] if settings.task == opened.task else []
    if settings.align != asked_for.align:
      lines.append(f"images of different sizes: --align={settings.align} brings them onto each other")
    loaded = found.placed.loaded
    sources = [
      {"source": names[k], "name": scene.names[order[k]], "range": None if span is None else list(span[:2]),
       "valid": share, "aligned": loaded.aligned.get(names[k])}
      for k, (span, share) in enumerate(zip(loaded.ranges, loaded.valid, strict=True))
    ]  # fmt: skip
    return {
      "kind": kind, "version": version, "size": list(found.fused.shape[1::-1]), "sources": sources,
      "lines": [*lines, *found.lines], "align": settings.align, "rivals": tab.rivals(scene.placed(settings, opened)),
      "command": command.command(settings, [scene.names[k] for k in order], prior=self.prior),
      "transforms": found.placed.transforms is not None and settings.align == "hand",
    }  # fmt: skip

  async def rival(self, request: Request) -> Response:
    """Another method's picture of the same sources; lines of JSON while it is computed."""
    tab, asked, name = self._tab(request), await answers.settings(request), request.path_params["method"]
    if tab.opened is None:
      raise HTTPException(422, "expected files that are opened; drop them again")

    def compute(say: Callable[[str], None]) -> dict:
      scene, opened = tab.scene, tab.opened
      settings = fits(controls.parse(asked, len(scene.files)), opened)
      whole = scene.placed(settings, opened)
      if name not in tab.rivals(whole):
        tab.keep(name, rivals.fused(self.stages, whole, settings, name, say), whole)
      return {"rivals": tab.rivals(whole)}

    return answers.as_it_comes(self.worker, tab.newest(), compute, tab.mended)

  async def cancel(self, request: Request) -> Response:
    self._tab(request).newest()
    return Response(status_code=204)

  async def close(self, request: Request) -> Response:
    self.tabs.close(request.path_params["tab"])
    return Response(status_code=204)

  async def part(self, request: Request) -> Response:
    tab, asked = self._tab(request), request.path_params
    version, found = tab.pictures.get(asked["kind"], (0, None))
    if found is None or version != asked["version"]:
      raise HTTPException(404, "expected a picture that is still there, found an older one")
    try:
      if asked["what"] == "thumbnail":
        return Response(await asyncio.to_thread(picture.thumbnail, found, asked["number"]), media_type="image/png")
      content = await asyncio.to_thread(picture.png, found, asked["what"], asked["number"])
    except (KeyError, IndexError):
      raise HTTPException(404, "expected a part of the picture, found none of that name") from None
    return Response(content, media_type="image/png")

  async def download(self, request: Request) -> Response:
    tab, name = self._tab(request), request.path_params["name"]
    _, found = tab.pictures.get("full", (0, None))
    if found is None:
      raise HTTPException(409, "expected the full picture, found it not yet there; wait a moment")
    content = await asyncio.to_thread(downloads.content, tab.folder, name, found)
    return Response(content, media_type="application/octet-stream",
                    headers={"Content-Disposition": f'attachment; filename="{downloads.saved_as(name)}"'})  # fmt: skip

  def _tab(self, request: Request) -> Tab:
    try:
      return self.tabs.get(request.path_params["tab"])
    except KeyError:
      raise HTTPException(410, "expected a scene that is still open, found none; drop the files again") from None


def application(server: Server) -> Starlette:
  """The routes alone; see `guard.Guard` for who may use them."""
  return Starlette(routes=server.routes(), exception_handlers={HTTPException: answers.error})
