"""Who may ask this server for anything? The page that it gave out itself, known by the secret in its address.

Every path begins with the secret. A page from elsewhere in the same browser does not know it, and is refused by its
Host or Origin besides: a name that was made to point at this machine is no address of it.
"""

import ipaddress
import secrets
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
  "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-store",
}
_SAFE = ("GET", "HEAD")


def new_token() -> str:
  """192 random bits, as they stand in an address."""
  return secrets.token_urlsafe(24)


class Guard:
  """Lets requests through to `app`, their path without the secret; answers all others 403, in the same words whichever
  check they fail.

  token: the secret. hosts: names that the server goes by; any_address: besides, addresses in figures, where it listens
  on all of the machine's."""

  def __init__(self, app: ASGIApp, *, token: str, hosts: Iterable[str], any_address: bool = False):
    self._app, self._token = app, token.encode()
    self._hosts, self._any_address = {host.casefold() for host in hosts}, any_address

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
      await self._app(scope, receive, send)
      return

    async def send_guarded(message: Message) -> None:
      if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
          headers[name] = value
      await send(message)

    if scope["type"] != "http" or not self._allows(scope):
      if scope["type"] == "http":
        await PlainTextResponse("not allowed: open the address that dig2dig app printed", 403)(
          scope, receive, send_guarded
        )
      return
    inner = "/" + scope["path"].lstrip("/").partition("/")[2]
    await self._app(scope | {"path": inner, "raw_path": inner.encode()}, receive, send_guarded)

  def _allows(self, scope: Scope) -> bool:
    headers, path = Headers(scope=scope), scope["path"]
    token = path.lstrip("/").partition("/")[0].encode("utf-8", "replace")
    known = secrets.compare_digest(token, self._token)
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not self._is_ours(host):
      return False
    origin = headers.get("origin")
    if origin is not None and origin.casefold() != f"http://{host.casefold()}":
      return False
    if origin is None and scope["method"] not in _SAFE:  # browsers always send it with these
      return False
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
      return False
    return known and "/" in path.lstrip("/")

  def _is_ours(self, host: str) -> bool:
    name = host.casefold()
    if name in self._hosts:
      return True
    if not self._any_address:
      return False
    try:
      ipaddress.ip_address(name.rpartition(":")[0].strip("[]") or name)
    except ValueError:
      return False
    return True
