"""What shapes have the arrays that pass between functions? Types by their axes, for readers and for checkers.

K sources, U rows of weights, S steps, L noise levels, H x W pixels, C channels; floats throughout.
"""

from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
  Array = jax.Array
  Scalar = Float[Array, ""]
else:  # NumPy's do as well, at the price of a transfer
  Array = jax.Array | np.ndarray
  Scalar = Float[Array, ""] | np.floating | float

Image = Float[Array, "H W C"]
Map = Float[Array, "H W 1"]  # one number for every pixel
Images = Float[Array, "K H W C"]
Weights = Float[Array, "K H W 1"]  # convex over K
Rows = Float[Array, "U K #H #W 1"]  # weights as they change along a run
Errors = Float[Array, "L K H W 1"]
