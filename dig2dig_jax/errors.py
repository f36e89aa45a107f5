"""What went wrong that the user can mend: one exception, one line."""


class UserError(Exception):
  """A fault in what the user gave (file, folder, flag). The message is one line: the file, what was expected, what was
  found and what to do. `launch.py` prints it without a traceback and exits with status 2."""
