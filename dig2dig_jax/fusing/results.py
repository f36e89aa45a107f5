"""What of a fused pair goes to disk? Image, maps, temperatures, a row of the contact sheet, a line of the log."""

import numpy as np

from dig2dig_jax.data import overlay
from dig2dig_jax.data.images import write_png
from dig2dig_jax.data.kept import NOTHING
from dig2dig_jax.data.padding import crop
from dig2dig_jax.data.pairs import LoadedPair, Pair
from dig2dig_jax.figures import sheet
from dig2dig_jax.files import is_free
from dig2dig_jax.fusing import files, ledger
from dig2dig_jax.fusing.config import FuseConfig
from dig2dig_jax.fusing.done import is_own
from dig2dig_jax.fusing.facts import Facts
from dig2dig_jax.fusing.ledger_index import Index


class Results:
  """Of one run; its threads write different pairs.

  index: None if no other process wrote here. rows: names of the pairs that the contact sheet shows. notes: grows by
  what could not be shown."""

  def __init__(
    self, config: FuseConfig, log, identity: ledger.Identity, index: Index | None, facts: Facts, rows, notes: list[str]
  ):
    self.config, self.log, self.identity, self.index = config, log, identity, index
    self.facts, self.notes = facts, notes
    self.rows: dict[str, np.ndarray | None] = dict.fromkeys(rows)
    self.versions = ledger.versions()

  def shown(self, name: str) -> bool:
    """Whether weights are written beside the image."""
    return self.config.maps or name in self.rows

  def try_sheet(self, *, again: bool) -> None:
    """again: also over a contact sheet of an earlier run."""
    path = self.config.out / "report" / "contact_sheet.png"
    rows = [row for row in self.rows.values() if row is not None]
    if rows and (again or not path.exists()):
      sheet.try_write(path, rows, self.notes)

  def _coloured(self, pair: LoadedPair, image: np.ndarray) -> np.ndarray:
    """With the colours of --colormap, where its source has none of its own."""
    if self.config.colormap is None:
      return image
    source, name = self.config.colormap
    number = self.config.sources.index(source)
    if pair.is_colour[number]:
      self.facts.coloured.add(pair.name)
      return image
    area = pair.areas[number]
    area = None if area is None or not area.any() or area.shape != image.shape[:2] else area
    return overlay.laid_over(image, pair.sources[number], name, area)

  def write(
    self, pair: LoadedPair, fused: np.ndarray, kept, curves, *, files_of: Pair, seconds: float, tile: int, device: str
  ) -> None:
    """The image last, so that where it exists the rest does too; then its line of the log.

    Args:
      pair: as it was fused.
      fused: [H, W, 3] in [-1, 1], as large as the program's.
      kept: (weights, steps) where the pair is `shown`.
      curves: values of every step for the log, or None.
      files_of: the files that the pair came from.
      seconds: that it took.
      tile: side of a tile, 0 for whole images.
      device: kind of the device.

    Raises:
      UserError: naming what cannot be written.
    """
    config, facts, size = self.config, self.facts, pair.sources.shape[1:3]
    image = crop(fused, size)
    if not any(pair.is_colour):
      image = image[..., :1]
    image = self._coloured(pair, image)
    path = config.out / f"{pair.name}.png"
    # Asked again: since the start it may have changed.
    known = is_free(path) or self.index is not None and (
      is_own(path, self.index.rows([pair.name]).get(pair.name, ()), self.index))
    bit_depth = config.bit_depth or max(pair.bit_depths)
    if config.maps:
      files.write_maps(config, pair.name, crop(kept[0], size), pair.moved)
      if config.conditions:
        with sheet.for_show(pair.name, self.notes):
          files.write_selection(config, pair.name, kept[1])
    celsius = {}
    if config.temperatures:
      celsius = {"celsius": files.write_temperatures(config, pair.name, pair)}
      self.facts.celsius[pair.name] = celsius["celsius"]
    own = dict(zip(config.sources, pair.kept, strict=False)).get(config.described_by, NOTHING)
    write_png(path, image, bit_depth=bit_depth, known=known, kept=own)
    if pair.name in self.rows:
      with sheet.for_show(f"contact sheet, {pair.name}", self.notes):
        self.rows[pair.name] = sheet.row(files.tiles(config, pair, image, crop(kept[0], size)))
    self.log.append({
      "id": pair.name,
      "seed": config.seed,
      "fingerprint": self.identity.fingerprint,
      "sha256": ledger.file_hash(path),
      "bytes": path.stat().st_size,
      "size": size,
      **_told(config.sources, pair),
      **({"noise": np.round(127.5 * facts.noise[pair.name], 2).tolist()} if pair.name in facts.noise else {}),
      **({"contradiction": round(facts.contradictions[pair.name], 3)} if pair.name in facts.contradictions else {}),
      "tile": tile,
      **({"maps": True} if config.maps else {}),
      **celsius,
      "seconds": round(seconds, 3),
      "device": device,
      "versions": self.versions,
      **({"curves": files.rounded(curves)} if curves else {}),
      "sources": ledger.source_bytes(files_of),
      "weights": self.identity.weights,
      "flags": self.identity.flags,
    })


def _told(sources: tuple[str, ...], pair: LoadedPair) -> dict[str, dict]:
  """What the log says of how the sources were read: ranges that are no whole types, [black, white], what share of a
  source is valid where not all is, what it had lost, how it was brought onto the others, and what moved in it."""
  ranges = {source: list(found[:2]) for source, found in zip(sources, pair.ranges, strict=True) if found is not None}
  valid = {source: round(found, 4) for source, found in zip(sources, pair.valid, strict=True) if found is not None}
  lost = {source: found for source, found in zip(sources, pair.lost, strict=False) if found}
  moved = {source: found.record() for source, found in pair.moved.items()}
  told = (("ranges", ranges), ("valid", valid), ("lost", lost), ("aligned", dict(pair.aligned)), ("moved", moved))
  return {name: found for name, found in told if found}
