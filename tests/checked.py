"""Are arrays what annotations say? Import before the package: then every call of its annotated functions is checked.

By beartype and jaxtyping: types, and the axes of a call's arrays against each other. Whole numbers are floats too.
"""

import jaxtyping
from beartype import BeartypeConf, beartype

ROOMS = ("sampling", "guidance", "methods", "restoration")
checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
jaxtyping.install_import_hook([f"dig2dig_jax.{room}" for room in ROOMS], "checked.checker")
