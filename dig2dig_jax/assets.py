"""Where are the files that come with the package? Priors, flag files and examples: beside it in a checkout, within it
when it was installed from a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
ROOT = _PACKAGE / "assets" if (_PACKAGE / "assets").is_dir() else _PACKAGE.parent
CHECKPOINTS = ROOT / "checkpoints"
EMBEDDED = CHECKPOINTS / "embedded"
DRFUSION = CHECKPOINTS / "drfusion"
SWIFT = CHECKPOINTS / "swift"
DESCRIPTOR = CHECKPOINTS / "descriptor"
