"""What do the words of `dig2dig COMMAND ...` mean, in the flags of launch.py?"""

import contextlib
import importlib
import io
import itertools
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.cli import interrupt, launcher, radiometric, tasks
from dig2dig_jax.cli.output import note, say
from dig2dig_jax.data import guess
from dig2dig_jax.errors import UserError
from dig2dig_jax.files import MARK, TIFF_MARK, is_free, taken, temperatures_of, typed_path
from dig2dig_jax.stores.address import is_address, redacted, typed_place
from dig2dig_jax.volumes import kinds

_ONE_PAGE = {
  "convert": "dig2dig convert guided_diffusion|drfusion|lpips|verify ...\n\n"
  "Converts PyTorch weights to a prior's folder, or compares them with one; each converter has its own --help.",
  "show": "dig2dig show FILE ...\n\n"
  "Prints what the program detects in images (size, range, noise, blur, valid area), in volumes (grid, position, "
  "range) or in the folder of a prior.",
}
_ONE_PAGE["align"] = (
  "dig2dig align FILE FILE ... -o OUT\n"
  "dig2dig align FOLDER -o OUT\n\n"
  "Aligns the images of a scene, or of every scene in a folder, with the largest of them. Writes each into a "
  "sub-folder for its\nsource, transparent where it has no data, and transforms.json (for a folder, "
  "transforms/NAME.json), which dig2dig fuse\n--transforms= applies to other images of the same cameras.\n\n"
  "  --align=auto|flow|translation|similarity|affine|homography   class of transforms; auto: a similarity, refined;\n"
  "                                                          flow: and a smooth displacement, for parallax\n"
  "  --reference=FILE                                        image with which the others are aligned; for a folder,\n"
  "                                                          the name of a source\n"
  "  --sources=NAME,NAME                                     names of the sub-folders, in the order of the files\n"
  "  --overwrite                                             overwrite the results of an earlier run\n"
  "  --compile_cache=FOLDER                                  cache of compiled programs; empty for none\n\n"
  "Exit status: 0 all aligned, 2 bad input, 3 an alignment was not reliable: that image is not written."
)
_ONE_PAGE["video"] = (
  "dig2dig video IR VI -o OUT.mp4\n\n"
  "Fuses an infrared and a visible clip into one with the frames, time stamps and sound of the visible clip. A clip is "
  "a video\nfile, a folder of numbered images, or a multi-page TIFF file. -o FOLDER writes numbered PNG files. "
  "Repeating the command\ncontinues a run that was stopped. docs/video.md.\n\n"
  "  --transforms=FILE     alignment of the clips, as written by dig2dig align for one frame of each\n"
  "  --offset=SECONDS      time of the infrared clip's first frame after the visible clip's; 0 by default\n"
  "  --rate=FRAMES         frames per second of images, which have no time stamps; 25, or the rate of the other clip\n"
  "  --steady=SHARE        share of a frame's own weights where nothing moves, the rest being carried over from\n"
  "                        earlier frames; --nosteady weights every frame independently\n"
  "  --score               report how much the result flickers; --score=FUSED.mp4 without -o scores any fused clip\n"
  "  --gains=swift         a small network instead of the prior for noisy clips: faster and less accurate\n"
  "  --range=, --restore=, --valid=, --prior=, --seed=, --overwrite, --tile=, --bit_depth=, --compile_cache= and the\n"
  "  method's options      as for dig2dig fuse\n\n"
  "Exit status: 0 done, 2 bad input, 3 stopped by another signal than Ctrl-C, 130 Ctrl-C."
)
_CONVERTERS = ("guided_diffusion", "drfusion", "lpips", "verify")
_OWN_HELP = ("app", "export", "figure", "live", "status")  # commands whose module has run(words) and HELP
_NO_OUT = ("app", "status")  # of them, those that write nothing
_HELP = {"-h", "-help", "--help"}
_OF_FOLDERS = ("data", "manifest", "dataset", "split", "sources", "list")  # flags that say which files: these are given
_BESIDE = ("maps",)  # and those that write more than one image


def run(command: str, words: list[str]) -> int:
  """Runs a command with its arguments; returns the exit status."""
  try:
    if command in _ONE_PAGE and _HELP & set(words[:1]):
      say(_ONE_PAGE[command])
      return 0
    if command == "convert":
      return _convert(words)
    if command == "align":
      from dig2dig_jax.cli import align

      return align.run(_out_flag(words))
    if command in _OWN_HELP:
      own = importlib.import_module(f"dig2dig_jax.cli.{command}")
      if _HELP & set(words):
        say(own.HELP)
        return 0
      return own.run(words if command in _NO_OUT else _out_flag(words, pipe=command == "live"))
    if command == "evaluate" and any(word.lstrip("-") == "video" for word in words):
      from dig2dig_jax.cli import video

      return video.evaluate(words)
    if command == "video":
      from dig2dig_jax.cli import video

      return video.run(_out_flag(words))
    if command == "show":
      from dig2dig_jax.cli import show

      return show.run(words)
    if _HELP & set(words) or command != "fuse":
      return launcher.launch([f"--job={command}", *_out_flag(words)])
    return _fuse(words)
  except UserError as error:
    launcher.refuse(str(error))
    return 2


def _convert(words: list[str]) -> int:
  if not words or words[0] not in _CONVERTERS:
    found = words[0] if words else "nothing"
    raise UserError(f"dig2dig convert: expected one of {', '.join(_CONVERTERS)}, found {found}")
  return importlib.import_module(f"dig2dig_jax.porting.{words[0]}").main(words[1:])


def _out_flag(words: list[str], *, pipe: bool = False) -> list[str]:
  """-o OUT and --out OUT as --out=OUT. pipe: OUT may be -, standard output."""
  found, rest = [], iter(words)
  for word in rest:
    if word in ("-o", "--out", "-out"):
      value = next(rest, None)
      if value is None or value.startswith("-") and not (pipe and value == "-"):
        hint = f"the flag {value}; a name that begins with - is written ./{value}" if value else "nothing"
        raise UserError(f"{word}: expected a file or a folder after it, found {hint}")
      word = f"--out={value}"
    elif word.startswith("-o="):
      word = f"--out={word[3:]}"
    found.append(word)
  return found


def _taken_out(words: list[str], flag: str) -> tuple[str | None, list[str]]:
  """(the last value of --flag=VALUE, the other words)."""
  values = [word.partition("=")[2] for word in words if word.startswith(f"--{flag}=")]
  return (values[-1] if values else None), [word for word in words if not word.startswith(f"--{flag}=")]


def _fuse(words: list[str]) -> int:
  words, behind = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
  words = _out_flag(words)
  for flag, word in itertools.pairwise(words):
    if flag.startswith("--") and "=" not in flag and not word.startswith("-") and not (
      kinds.split_series(word)[0].exists()
    ):
      raise UserError(f"{flag} {word}: expected a value after =, found a space; write {flag}={word}")
  places = [word for word in words if not word.startswith("-")] + behind
  flags = [word for word in words if word.startswith("-")]
  task, flags = _taken_out(flags, "task")
  if task is not None and task not in (*guess.TASKS, *guess.TASKS.values()):
    raise UserError(f"--task={task}: expected one of {', '.join(guess.TASKS)}")
  task = next((name for name, short in guess.TASKS.items() if short == task), task)
  if any(kinds.kind(kinds.split_series(place)[0]) for place in places):
    from dig2dig_jax.cli import volumes

    return volumes.run(places, task, flags)
  own_settings = any(flag.startswith(("--flagfile=", "--data=", "--manifest=")) for flag in flags)
  if not places and own_settings:
    settings = tasks.settings(task, None) if task else ["--job=fuse"]
    return launcher.launch([*settings, *flags])
  if len(places) == 1 and (place := typed_place(places[0])).is_dir():
    from dig2dig_jax.cli import folder

    named, out = _taken_out(flags, "sources")[0], _taken_out(flags, "out")
    if task in (None, "thermal") and named is None and out[0] and (files := radiometric.of_folder(place)):
      return radiometric.fuse_all(files, typed_path(out[0]).absolute(), out[1])
    return launcher.launch(folder.flags(place, task, named, flags))
  if len(places) < 2 and not radiometric.is_pair(places):
    found = f"{places[0]}, which is no folder" if places else "nothing"
    raise UserError("dig2dig fuse: expected two or more image files, or a folder with one sub-folder per source, "
                    f"found {found}; see dig2dig --help")  # fmt: skip
  if address := next(filter(is_address, places), None):
    raise UserError(f"{redacted(address)}: expected a local file, found the address of a store; give its "
                    "folder, or --manifest=")
  files = [typed_path(place) for place in places]
  if folder := next((file for file in files if file.is_dir()), None):
    raise UserError(f"{folder}: expected an image file beside the others, found a folder; give one folder that holds a "
                    "sub-folder for each source, as dig2dig fuse FOLDER, or volumes as DICOM files")
  return _fuse_files(files, task, flags)


def _fuse_files(files: list[Path], task: str | None, flags: list[str]) -> int:
  """Fuses files through a manifest and a temporary folder, so that everything the job does for folders it does here."""
  _refuse(flags, _OF_FOLDERS, "no such flag beside files, which say it themselves; leave it out, or give a folder")
  out, flags = _taken_out(flags, "out")
  if out is None:
    raise UserError("dig2dig fuse: expected -o FUSED.png, found no output; add it")
  place = typed_path(out)
  single = place.suffix != ""
  if single and place.suffix.lower() != ".png":
    raise UserError(f"--out={out}: expected a .png file, or a folder, found {place.suffix}; results are PNG")
  if single:
    _refuse(flags, _BESIDE, "a folder to write to, found one image; take -o FOLDER")
  degrees = temperatures_of(place)
  for written, mark in [(place, MARK), (degrees, TIFF_MARK)][: 1 + ("--temperatures" in flags)] if single else []:
    if written.exists() and "--overwrite" not in flags:
      raise UserError(f"{written}: expected nothing there, found a file; choose another name, or add --overwrite")
    if not is_free(written, mark):  # whatever --overwrite says, as in folders
      raise taken(written)
  if single and any(file.exists() and place.exists() and file.samefile(place) for file in files):
    raise UserError(f"{place}: expected a file other than the sources; choose another name")
  if len({os.path.realpath(file) for file in files}) < len(files):
    raise UserError(f"{files[0]}: expected different files, found one of them twice; name each image of the scene once")
  if alone := len(files) == 1:
    radiometric.check_task(task)
    task, order = "thermal", (0, 1)
  else:
    found = radiometric.guessed(files) or guess.by_file_names([file.stem for file in files])
    found = found or tasks.by_look(files)
    task, order = tasks.decided(task, found, len(files))
  names = guess.usual_names(task, len(order))
  if order != tuple(range(len(order))):
    roles = ", ".join(f"{files[k].name} as {name}" for name, k in zip(names, order, strict=True))
    hint = f"; if that is wrong, rename the files as {' and '.join(names)}" if len(names) == 2 else ""
    note(f"note: the sources are taken in another order than given: {roles}{hint}")
  parent = (place.parent if single else place).absolute()
  importlib.import_module("dig2dig_jax.cli.fuse")  # takes seconds, before anything is written
  interrupt.begins()
  try:
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dig2dig-", dir=parent) as own:
      name = place.stem if single else files[order[0]].stem
      manifest = Path(own) / "pairs.jsonl"
      files = [*files, radiometric.second(files[0], Path(own))] if alone else files
      chosen = {source: str(files[k].absolute()) for source, k in zip(names, order, strict=True)}
      manifest.write_text(json.dumps({"id": name, "files": chosen}) + "\n", encoding="utf-8")
      results = Path(own) / "out" if single else place
      extra = ["--nosheet"] if single else []
      job = [*tasks.settings(task, names), f"--manifest={manifest}", f"--out={results}", *extra, *flags]
      if not single:
        return launcher.launch(job)
      told = io.StringIO()  # the job's summary names its own folder
      with contextlib.redirect_stdout(told):
        status = launcher.launch(job)
      fused = results / f"{name}.png"
      if status == 0 and fused.exists():
        if temperatures_of(fused).exists():
          os.replace(temperatures_of(fused), degrees)
        os.replace(fused, place)
      say(told.getvalue().replace(str(results), str(place)), end="")
      return status
  except OSError as error:
    raise UserError(f"{parent}: expected to write there, found {error.strerror or error}; choose another -o") from error


def _refuse(flags: Sequence[str], names: Sequence[str], expected: str) -> None:
  for flag in flags:
    if flag.lstrip("-").partition("=")[0] in names:
      raise UserError(f"{flag}: expected {expected}")
