"""What are the values of a PET in? Standardised uptake by body weight (SUVbw), where the header tells all that it
takes.

  SUV = activity [Bq/ml] x weight [g] / dose [Bq], the dose decayed from the injection to the time that the activity is
  corrected to.

Bq/ml with DecayCorrection START is corrected to the beginning of the series, ADMIN to the injection.
"""

import datetime
import math
from collections.abc import Sequence
from typing import Any

_HOUR = 3600.0
_LONGEST = 24 * _HOUR  # from injection to scan


def unit(headers: Sequence[Any], modality: str) -> tuple[float, str, list[str]]:
  """(what to multiply values by, their unit then, lines) of a series whose slices have these headers."""
  header = headers[0]
  if modality == "CT":
    kind = str(header.get("RescaleType") or "HU")
    return 1.0, "HU" if kind in ("HU", "HU_MOD") else kind, []
  if modality != "PT":
    return 1.0, "", []
  units = str(header.get("Units") or "")
  if units == "GML":
    return 1.0, "SUV", []
  if units != "BQML":
    return 1.0, {"CNTS": "counts", "PROPCPS": "counts", "": ""}.get(units, units), []
  try:
    return _factor(headers), "SUV", []
  except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
    return 1.0, "Bq/ml", [f"no SUV ({str(error) or type(error).__name__}), so that its values stay Bq/ml"]


def _factor(headers: Sequence[Any]) -> float:
  """From Bq/ml to SUVbw. ValueError, saying what is missing."""
  header = headers[0]
  dose = (list(header.get("RadiopharmaceuticalInformationSequence") or []) or [None])[0]
  if dose is None:
    raise ValueError("no RadiopharmaceuticalInformationSequence")
  weight = _positive(header, "PatientWeight") * 1000
  injected = _positive(dose, "RadionuclideTotalDose")
  correction = str(header.get("DecayCorrection") or "")
  if correction == "ADMIN":
    return weight / injected
  if correction != "START":
    raise ValueError(f"DecayCorrection is {correction or 'missing'}")
  elapsed = (_started(headers) - _injected(header, dose)).total_seconds()
  if not 0 <= elapsed <= _LONGEST:
    raise ValueError(f"{elapsed / _HOUR:.1f} hours from injection to scan")
  return weight / (injected * math.exp2(-elapsed / _positive(dose, "RadionuclideHalfLife")))


def _positive(header: Any, name: str) -> float:
  value = header.get(name)
  if value is None or not math.isfinite(float(value)) or float(value) <= 0:
    raise ValueError(f"no {name}")
  return float(value)


def _started(headers: Sequence[Any]) -> datetime.datetime:
  """When the first slice was begun, or the series where that is earlier: some programs put the time of a later
  reconstruction there."""
  times = [_moment(header.get(f"{kind}Date"), header.get(f"{kind}Time"))
           for header in headers for kind in ("Acquisition", "Series")]  # fmt: skip
  known = [time for time in times if time is not None]
  if not known:
    raise ValueError("no AcquisitionTime")
  return min(known)


def _injected(header: Any, dose: Any) -> datetime.datetime:
  if text := str(dose.get("RadiopharmaceuticalStartDateTime") or ""):
    if (found := _moment(text[:8], text[8:])) is not None:
      return found
  found = _moment(header.get("SeriesDate"), dose.get("RadiopharmaceuticalStartTime"))
  if found is None:
    raise ValueError("no RadiopharmaceuticalStartTime")
  return found


def _moment(date: Any, time: Any) -> datetime.datetime | None:
  """Of DICOM's YYYYMMDD and HHMMSS.FFFFFF, without zones."""
  digits = str(time or "").split(".")[0].split("+")[0].split("-")[0][:6].ljust(6, "0")
  try:
    return datetime.datetime.strptime(str(date or "") + digits, "%Y%m%d%H%M%S") if time else None
  except ValueError:
    return None
