"""Which of two volumes is the functional one, and what are they called? By modality, or by their files' names."""

import re
from collections.abc import Sequence
from pathlib import Path

from dig2dig_jax.errors import UserError
from dig2dig_jax.volumes.volume import FUNCTIONAL, Volume

_OF_MODALITY = {"PT": "pet", "NM": "spect", "MR": "mri", "CT": "ct"}
_OF_WORD = {"pet": "PT", "suv": "PT", "fdg": "PT", "spect": "NM", "mri": "MR", "mr": "MR", "t1": "MR", "t1w": "MR",
            "t2": "MR", "t2w": "MR", "flair": "MR", "ct": "CT"}  # fmt: skip
USUAL = ("structure", "function")


def with_modality(volume: Volume) -> Volume:
  """The same, told by a word of its file's name or folder's where its header says nothing (NIfTI has no modality)."""
  if volume.modality:
    return volume
  words = re.split(r"[^a-z0-9]+", Path(volume.name).name.casefold())
  found = {_OF_WORD[word] for word in words if word in _OF_WORD}
  return volume._replace(modality=found.pop()) if len(found) == 1 else volume


def ordered(volumes: Sequence[Volume], asked: Sequence[str] | None = None) -> tuple[list[str], list[int], str]:
  """(names in the order of the volumes, the volumes' numbers with the functional one last, a line about that).

  asked: names in place of those that modalities have. CT counts as the functional one beside MRI, as in `mif.flags`.
  UserError for names that are not two different ones."""
  names = [_OF_MODALITY.get(volume.modality, "") for volume in volumes]
  rank = [2 if volume.modality in FUNCTIONAL else int(volume.modality == "CT") for volume in volumes]
  known = all(names) and rank[0] != rank[1]
  order = [0, 1] if not known or rank[1] > rank[0] else [1, 0]
  if not all(names) or names[0] == names[1]:
    names = [""] * 2
    for k, usual in zip(order, USUAL, strict=True):
      names[k] = usual
  if asked is not None:
    if len(asked) != 2 or asked[0] == asked[1] or not all(re.fullmatch(r"[\w.-]+", name) for name in asked):
      raise UserError(f"--sources={','.join(asked)}: expected two different names, of the volumes in their order")
    names = list(asked)
  why = "by modality" if known else "by their order"
  line = "; ".join(f"{volumes[k].name} is {names[k]}" for k in (0, 1))
  return names, order, f"{line}; {names[order[1]]} is the functional one, {why}"
