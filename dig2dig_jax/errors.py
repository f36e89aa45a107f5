"""What went wrong that the user can mend: one exception, one line."""


class UserError(Exception):
  """A fault in the user's input (file, folder, flag). The message is one line: the file, what was expected, what was
  found and what to do. `launch.py` prints it without a traceback and exits with status 2."""


def one_line(error: BaseException) -> str:
  """Any exception in one line: a UserError's own, else its kind and the beginning of what it says."""
  if isinstance(error, UserError):
    return str(error)
  if isinstance(error, MemoryError):
    return f"not enough memory ({' '.join(str(error).split()) or 'no figure'})"
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  reason = (str(error).strip().splitlines() or [""])[0]
  return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
