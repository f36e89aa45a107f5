"""IFCNN (Zhang et al. 2020) by its own network: ifcnn.py CHECKOUT TASK A B OUT.

Its program has its own data sets' names written into it; as there, IFCNN-MAX fuses focal planes in RGB, normalised as
ImageNet is, and infrared and medical pairs as they are, to gray; IFCNN-MEAN fuses the luminance of exposures, whose
chroma is a mean weighted by saturation. Its equalisation of exposures after the network (CLAHE) is part of its program
and done too.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def main(checkout: Path, task: str, first: Path, second: Path, out: Path) -> None:
  import own_cpu  # beside this script

  own_cpu.prepare()
  import torch
  import torchvision

  # The published weights hold the whole of the network: what it would download first is written over by them.
  whole = torchvision.models.resnet101
  torchvision.models.resnet101 = lambda pretrained=False, **_: whole(weights=None)
  sys.path.insert(0, str(checkout / "Code"))
  from model import myIFCNN

  scheme, weights = (2, "IFCNN-MEAN") if task == "exposure" else (0, "IFCNN-MAX")
  network = myIFCNN(fuse_scheme=scheme)
  network.load_state_dict(torch.load(checkout / "Code" / "snapshots" / f"{weights}.pth"))
  network.eval()
  mean, deviation = IMAGENET if task == "focus" else ((0, 0, 0), (1, 1, 1))

  def fused(images):
    """uint8 [H, W, 3] of float images [H, W, 3] in 0..1; fractions are cut off, as its program does."""
    tensors = [torch.from_numpy(((image - mean) / deviation).transpose(2, 0, 1)[None]).float() for image in images]
    with torch.no_grad():
      found = network(*tensors)[0].numpy().transpose(1, 2, 0)
    return (np.clip(found * deviation + mean, 0, 1) * 255).astype(np.uint8)

  for path in sorted(first.glob("*.png")):
    pair = [Image.open(folder / path.name).convert("RGB") for folder in (first, second)]
    if task == "exposure":
      image = exposures(pair, fused)
    else:
      image = fused([np.asarray(one) / 255 for one in pair])
      image = image if task == "focus" else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    Image.fromarray(image).save(out / path.name)


def exposures(pair, fused):
  """Of PIL images in RGB."""
  levels = np.stack([np.asarray(one.convert("YCbCr")) for one in pair]).astype(float)
  image = fused([np.repeat(one[..., :1] / 255, 3, axis=-1) for one in levels])
  share = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) / 255
  light = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply((share * 235 + (1 - share) * 16).astype(np.uint8))
  away = np.abs(levels[..., 1:] - 128)
  total = away.sum(axis=0)
  chroma = np.where(total > 0, (levels[..., 1:] * away).sum(axis=0) / np.where(total > 0, total, 1), 128)
  whole = np.stack([light, chroma[..., 1].astype(np.uint8), chroma[..., 0].astype(np.uint8)], axis=-1)
  return cv2.cvtColor(whole, cv2.COLOR_YCrCb2RGB)


if __name__ == "__main__":
  main(Path(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:6]))
