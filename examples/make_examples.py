"""Rebuild the example pairs of this folder: `python -m examples.make_examples [FOLDER]` in the repository root.

Every pair is synthetic: photographs that ship inside scikit-image's wheel (public domain or CC0, nothing is downloaded)
are degraded in two complementary ways. The same script gives the same pixels on every run.

Arrays here are float64 [H, W, C] of linear light or temperature in [0, 1]; x runs right, y runs down, in pixels.
"""

import argparse
from pathlib import Path

import numpy as np
import skimage.data
import skimage.draw
from scipy import ndimage

from dig2dig_jax.data.images import write_png

# Outlines drawn by hand on the halved photographs, as (x, y).
ASTRONAUT = [
  (20, 256), (11, 215), (13, 170), (20, 140), (35, 119), (57, 103), (57, 94), (66, 80), (80, 74), (92, 74), (89, 64),
  (80, 56), (76, 42), (79, 28), (92, 20), (104, 10), (118, 7), (135, 13), (147, 28), (151, 43), (147, 57), (137, 67),
  (132, 77), (128, 87), (140, 95), (150, 108), (153, 118), (167, 130), (176, 144), (180, 160), (181, 176), (200, 171),
  (222, 178), (240, 195), (248, 220), (254, 235), (256, 256),
]
CAMERAMAN = [
  (-9, 130), (10, 115), (25, 93), (35, 75), (45, 67), (60, 62), (72, 55), (82, 53), (84, 46), (95, 35), (105, 32),
  (118, 35), (130, 47), (135, 57), (131, 66), (123, 65), (127, 84), (121, 90), (121, 96), (113, 99), (122, 108),
  (124, 122), (133, 113), (131, 107), (140, 102), (152, 108), (162, 86), (166, 94), (160, 108), (150, 118), (140, 122),
  (150, 130), (152, 136), (144, 142), (124, 156), (104, 148), (70, 190), (75, 220), (76, 266), (68, 266), (50, 222),
  (44, 266), (-9, 266),
]
FACE = [(99, 68), (112, 63), (122, 66), (127, 84), (121, 90), (121, 96), (114, 99), (100, 94), (95, 86)]
NECK = [(82, 77), (96, 84), (98, 95), (90, 106)]
HANDS = [(158, 84), (166, 90), (164, 102), (150, 116), (140, 121), (132, 112), (132, 106), (140, 103), (152, 104)]
HANDYCAM = [(128, 70), (162, 70), (160, 90), (134, 90)]
CUP_SIDE = [(87, 60), (201, 60), (197, 92), (186, 116), (165, 137), (125, 137), (104, 116), (91, 92)]
SPOON_STEM = [(199, 36), (206, 33), (212, 38), (205, 62), (192, 112), (184, 118), (188, 104), (201, 60)]


def main(folder: Path) -> None:
  """Write the six pairs under `folder`, replacing what is there."""
  for task, (first, second), make in (
    ("vif", ("ir", "vi"), {"cameraman": night_field, "coffee": dim_cafe}),
    ("mff", ("a", "b"), {"astronaut": focus_on_layers, "cat": focus_on_depths}),
    ("mef", ("under", "over"), {"coffee": expose(skimage.data.coffee, 2.5, 2),
                                "rocket": expose(skimage.data.rocket, 1.5, 3)}),
  ):
    for name, function in make.items():
      for source, image in zip((first, second), function(), strict=True):
        write_png(folder / task / source / f"{name}.png", to_display(image) * 2 - 1)


def to_linear(levels: np.ndarray) -> np.ndarray:
  """uint8 sRGB [H, W] or [H, W, C] -> linear light [H, W, C]."""
  v = np.atleast_3d(levels) / 255
  return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def to_display(linear: np.ndarray) -> np.ndarray:
  """Linear light, clipped to [0, 1] as a sensor clips it -> sRGB in [0, 1]."""
  v = np.clip(linear, 0, 1)
  return np.where(v <= 0.0031308, v * 12.92, 1.055 * np.maximum(v, 0.0031308) ** (1 / 2.4) - 0.055)


def halved(image: np.ndarray) -> np.ndarray:
  """Mean of each 2 x 2 block."""
  height, width = image.shape[0] // 2, image.shape[1] // 2
  return image[:2 * height, :2 * width].reshape(height, 2, width, 2, -1).mean((1, 3))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
  return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="reflect")


def defocus(image: np.ndarray, radius: float) -> np.ndarray:
  """Convolution with the disc that a point makes behind a round aperture."""
  r = int(np.ceil(radius))
  y, x = np.mgrid[-r:r + 1, -r:r + 1]
  disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)[..., None]
  return ndimage.convolve(image, disc / disc.sum(), mode="reflect")


def inside(shape: tuple[int, ...], outline: list[tuple[int, int]], softness: float = 0.7) -> np.ndarray:
  """1 inside a polygon of (x, y), 0 outside, [H, W, 1]; the polygon may leave the picture."""
  mask = skimage.draw.polygon2mask(shape[:2], [(y, x) for x, y in outline])
  return blur(mask[..., None].astype(float), softness)


def ellipse(shape: tuple[int, ...], x: float, y: float, rx: float, ry: float) -> np.ndarray:
  """1 inside an upright ellipse, 0 outside, with an edge of about a pixel. [H, W, 1]."""
  rows, columns = np.mgrid[:shape[0], :shape[1]]
  distance = np.hypot((columns - x) / rx, (rows - y) / ry)
  return np.clip((1 - distance) * min(rx, ry) + 0.5, 0, 1)[..., None]


def paint(canvas: np.ndarray, mask: np.ndarray, value: float | np.ndarray) -> np.ndarray:
  return canvas * (1 - mask) + value * mask


def thermal(temperature: np.ndarray, texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """What an uncooled camera makes of a temperature map: a little reflected texture, a soft lens, noise and columns of
  unequal gain. Returned as linear light, so that the stored level is proportional to temperature."""
  seen = blur(temperature + 0.06 * (blur(texture, 1) - texture.mean()), 0.9)
  seen = seen + rng.normal(0, 0.008, seen.shape) + rng.normal(0, 0.004, (1, seen.shape[1], 1))
  return to_linear(np.clip(seen, 0, 1) * 255)


def noisy(linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Photon noise and read noise of a short exposure."""
  return linear + rng.normal(0, 1, linear.shape) * np.sqrt(np.maximum(linear, 0) * 1e-4 + 1e-6)


def night_field() -> tuple[np.ndarray, np.ndarray]:
  """Thermal and visible: a cameraman at night. Two walkers and a car engine on the far lawn show in the thermal image
  alone; lit windows, the tripod and the lawn's texture in the visible one alone."""
  rng = np.random.default_rng(1)
  light = halved(to_linear(skimage.data.camera()))
  shape, rows, columns = light.shape, *np.mgrid[:256, :256][..., None]
  ground = np.clip((rows - 112) / 10, 0, 1)
  heat = 0.06 + 0.10 * np.clip(rows / 115, 0, 1) ** 2 + ground * (0.16 + 0.05 * (rows - 118) / 138)
  heat = paint(heat, inside(shape, [(0, 86), (30, 92), (30, 118), (0, 118)]), 0.34)
  heat = paint(heat, inside(shape, [(165, 90), (256, 96), (256, 117), (160, 117)]), 0.34)
  heat = paint(heat, inside(shape, [(206, 62), (216, 60), (216, 96), (206, 96)]), 0.30)
  heat = paint(heat, inside(shape, CAMERAMAN), 0.50 - 0.10 * np.clip((rows - 60) / 190, 0, 1))
  heat = paint(heat, inside(shape, HANDYCAM), 0.44)
  for outline, value in ((FACE, 0.93), (NECK, 0.86), (HANDS, 0.70)):
    heat = paint(heat, inside(shape, outline, 1.2), value)
  heat = paint(heat, ellipse(shape, 94, 71, 4, 7), 0.88)
  for x, y, tall in ((196, 128, 1.0), (209, 125, 0.85)):  # walkers: trunk, legs, head
    heat = paint(heat, ellipse(shape, x, y, 3.4 * tall, 8 * tall), 0.80)
    heat = paint(heat, ellipse(shape, x - 1, y + 10 * tall, 2.6 * tall, 8 * tall), 0.66)
    heat = paint(heat, ellipse(shape, x, y - 10 * tall, 2.5 * tall, 2.9 * tall), 0.95)
  heat = paint(heat, ellipse(shape, 240, 119, 9, 3.5), 0.72)
  lamp = np.exp(-((columns - 205) ** 2 + (rows - 100) ** 2) / (2 * 55**2))
  visible = light * (0.022 + 0.13 * lamp + 0.05 * ground * np.clip((columns - 60) / 200, 0, 1))
  windows = np.zeros_like(light)
  windows[rng.integers(92, 113, 18), rng.integers(170, 254, 18)] = rng.uniform(0.2, 1, (18, 1))
  return thermal(heat, light, rng), noisy(visible + 0.7 * windows + blur(windows, 1.5), rng)


def dim_cafe() -> tuple[np.ndarray, np.ndarray]:
  """Thermal and visible (in colour): a hot coffee. The ring that another hot cup left on the table is in the thermal
  image alone; the wood, the glaze and all colour in the visible one alone. The spoon looks cold, as bare metal does."""
  rng = np.random.default_rng(2)
  light = halved(to_linear(skimage.data.coffee()))
  shape, rows, columns = light.shape, *np.mgrid[:200, :300][..., None]
  from_cup = np.hypot((columns - 145) / 1.25, rows - 125)
  heat = np.full((*shape[:2], 1), 0.16) + 0.05 * np.exp(-from_cup / 60)
  heat = paint(heat, inside(shape, [(0, 0), (78, 0), (0, 52)]), 0.07)
  ring = ellipse(shape, 262, 152, 31, 22) - ellipse(shape, 262, 152, 25, 17)
  heat = heat + 0.34 * blur(ring, 1.5) + 0.06 * ellipse(shape, 262, 152, 31, 22)
  heat = paint(heat, ellipse(shape, 139, 112, 100, 81), 0.26 + 0.22 * np.exp(-from_cup / 28))
  heat = paint(heat, ellipse(shape, 112, 133, 13, 19), 0.50)
  heat = paint(heat, inside(shape, CUP_SIDE), 0.60 + 0.10 * np.clip((110 - rows) / 50, 0, 1))
  heat = paint(heat, ellipse(shape, 144, 56, 57, 47), 0.66)
  heat = paint(heat, ellipse(shape, 144, 56, 49, 41), 0.62 + 0.16 * np.clip((rows - 15) / 60, 0, 1))
  heat = paint(heat, ellipse(shape, 143, 72, 42, 25), 0.97)
  for mask in (inside(shape, SPOON_STEM), ellipse(shape, 183, 142, 20, 20)):
    heat = paint(heat, mask, 0.14)
  window = np.exp(-((columns - 230) ** 2 + (rows - 20) ** 2) / (2 * 95**2))
  hidden = 1 - 0.93 * np.exp(-(((columns - 262) / 46) ** 4 + ((rows - 156) / 42) ** 4))
  visible = light * (0.03 + 0.42 * window) * hidden
  return thermal(heat, light.mean(-1, keepdims=True), rng), noisy(visible, rng)


def focus_on_layers() -> tuple[np.ndarray, np.ndarray]:
  """Near and far focus of a scene with two layers. The far focus spreads the person's edge over the background, as a
  lens does; the near focus blurs only what lies behind, so that no colour of the person leaks into it."""
  light = halved(to_linear(skimage.data.astronaut()))
  mask = inside(light.shape, ASTRONAUT)
  # Stray hairs lie outside the outline: keep clear of them when asking what is behind the person.
  clear = 1 - np.clip(4 * defocus(mask, 4), 0, 1)
  filled = light * clear + blur(light * clear, 8) / np.maximum(blur(clear, 8), 1e-9) * (1 - clear)
  near = light * mask + defocus(filled, 5) * (1 - mask)
  far = defocus(light * mask, 5) + filled * (1 - defocus(mask, 5))
  return near, far


def focus_on_depths() -> tuple[np.ndarray, np.ndarray]:
  """Near focus on the muzzle and far focus on the rest, with a soft mask: depth changes smoothly over a cat's face."""
  light = to_linear(skimage.data.cat())[44:268, 96:400]
  rows, columns = np.mgrid[:224, :304][..., None]
  near = 1 / (1 + np.exp((np.hypot((columns - 159) / 1.1, rows - 161) - 85) / 5))
  blurred = defocus(light, 4)
  return paint(blurred, near, light), paint(light, near, blurred)


def expose(photograph, stops_down: float, stops_up: float):
  """Two exposures of one photograph in linear light: the short one loses its shadows in noise and in 8 bits, the long
  one its highlights to clipping."""
  def pair() -> tuple[np.ndarray, np.ndarray]:
    light = halved(to_linear(photograph()))
    rng = np.random.default_rng(3)
    return noisy(light * 2**-stops_down, rng) - 0.002, light * 2**stops_up
  return pair


if __name__ == "__main__":
  parser = argparse.ArgumentParser(prog="python -m examples.make_examples", description=__doc__)
  parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent, metavar="FOLDER")
  main(parser.parse_args().folder)
