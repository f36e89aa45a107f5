"""Do the examples of docs/converter.md run? On small networks of the goldens' layouts in place of the large ones."""

import dataclasses
import pathlib
import re

import jax
import numpy as np
import recipe
import toys

from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.priors.checkpoint import save_checkpoint
from dig2dig_jax.sampling.types import Prediction

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "converter.md"
# The document's names and sizes, and those of the small networks.
SMALL = {"(1, 256, 256, 3)": "(1, 16, 16, 3)", "(1, 64, 64, 3)": "(1, 4, 4, 3)", "label=207": "label=7"}


def test_the_examples_run(tmp_path, monkeypatch, quick_compile):
  text = "\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
  for large, small in SMALL.items():
    assert large in text
    text = text.replace(large, small)
  monkeypatch.chdir(tmp_path)
  for folder, tag in (("256x256_classifier", "classifier_tiny"), ("64_256_upsampler", "superres_tiny")):
    config, _ = recipe.model(tag)
    # The released upsampler is class-conditional, the golden one is not.
    config = dataclasses.replace(config, num_classes=11) if config.super_resolution else config
    random = np.random.default_rng(0)
    shapes = parameter_shapes(config)
    save_checkpoint(
      tmp_path / "checkpoints" / folder,
      params={path: 0.3 * random.standard_normal(shape, np.float32) for path, shape in shapes.items()},
      config=config,
      schedule={"name": "linear", "num_timesteps": 1000},
      card={},
    )
  names: dict = {}
  exec(text, names)
  upscaled = names["eps_and_variance"]
  assert upscaled.shape == (1, 16, 16, names["upsampler"].config.out_channels) and np.isfinite(upscaled).all()
  side = names["loaded"].config.image_size
  x, step, guide = toys.normal(0, side, side, 3), toys.row(toys.run_steps(5), 2), names["guidance"]
  found, _ = jax.jit(lambda x: guide.update(Prediction(x, x), (), x[None], x_t=x, step=step, key=None, weights=None))(x)
  assert np.abs(found.eps - x).max() > 1e-4 and np.isfinite(found.x0).all()
