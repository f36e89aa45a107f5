"""How do requests and answers of the page look? Settings in JSON; lines of JSON while the thread computes; errors."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from dig2dig_jax.app import limits
from dig2dig_jax.app.jobs import Superseded, Ticket, Worker
from dig2dig_jax.errors import UserError, one_line


async def settings(request: Request) -> dict[str, Any]:
  """Of a request's body. HTTPException for what is none, and for too much."""
  content = b""
  async for chunk in request.stream():
    content += chunk
    if len(content) > limits.JSON_BYTES:
      raise HTTPException(413, f"expected settings of at most {limits.JSON_BYTES} bytes, found more")
  with contextlib.suppress(ValueError, RecursionError):
    found = json.loads(content)
    if isinstance(found, dict):
      return found
  raise HTTPException(422, "expected settings in JSON, found other data")


def as_it_comes(
  worker: Worker, ticket: Ticket, compute: Callable[[Callable[[str], None]], dict], mended: Callable[[UserError], str]
) -> StreamingResponse:
  """Lines of JSON: {"stage"} while it is computed, and at the end {"done"}, {"error"} or {"superseded"}.

  ticket: of the request, cancelled when the client has disconnected. compute: gives what is done; it is handed what it
  says its stages to, which raises Superseded once the ticket is cancelled. mended: what the page says of an error."""
  said: asyncio.Queue = asyncio.Queue()
  loop = asyncio.get_running_loop()

  def tell(line: dict | None) -> None:
    loop.call_soon_threadsafe(said.put_nowait, line)

  def say(stage: str) -> None:
    ticket.check()
    tell({"stage": stage})

  def work() -> None:
    try:
      ticket.check()
      tell({"done": compute(say)})
    except Superseded:
      tell({"superseded": True})
    except UserError as error:
      tell({"error": mended(error)})
    except Exception as error:  # of this request alone: the page says it, the server stays
      tell({"error": f"expected a fused image, found {one_line(error)[:200]}; the command below tells more"})
    finally:
      tell(None)

  async def lines() -> AsyncIterator[str]:
    worker.submit(work)
    try:
      while (line := await said.get()) is not None:
        yield json.dumps(line) + "\n"
    finally:
      ticket.cancel()  # done, or the client has disconnected

  return StreamingResponse(lines(), media_type="application/x-ndjson")


async def error(request: Request, found: Exception) -> Response:
  """The page's message for an HTTPException."""
  return JSONResponse({"error": getattr(found, "detail", "")}, getattr(found, "status_code", 500))
