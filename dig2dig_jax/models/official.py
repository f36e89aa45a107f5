"""Which checkpoints did OpenAI release, and what network is each? (openai/guided-diffusion, its README.)"""

import dataclasses

from dig2dig_jax.models.config import UNetConfig, classifier_config, diffusion_config, super_resolution_config

_URL = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/{name}.pt"


@dataclasses.dataclass(frozen=True)
class Official:
  """A released checkpoint: its network and its noise schedule (of 1000 steps); a classifier's is that of the model of
  the same size, which it guides. size, sha256: of its file, where they are publicly known; OpenAI published none."""

  name: str
  config: UNetConfig
  schedule: str = "linear"
  size: int | None = None
  sha256: str | None = None

  @property
  def url(self) -> str:
    return _URL.format(name=self.name)


# What every released diffusion model shares, and most of them.
_ALL = {"num_res_blocks": 2, "learn_sigma": True, "resblock_updown": True, "attention_resolutions": "32,16,8"}
_WIDE = _ALL | {"num_channels": 256, "num_head_channels": 64}

OFFICIAL: dict[str, Official] = {
  official.name: official
  for official in (
    Official(
      "64x64_diffusion",
      diffusion_config(
        image_size=64,
        **_ALL
        | {
          "num_res_blocks": 3,
          "num_channels": 192,
          "num_head_channels": 64,
          "class_cond": True,
          "dropout": 0.1,
          "use_new_attention_order": True,
        },
      ),
      "cosine",
    ),
    Official("128x128_diffusion", diffusion_config(image_size=128, num_channels=256, class_cond=True, **_ALL)),
    Official("256x256_diffusion", diffusion_config(image_size=256, class_cond=True, **_WIDE)),
    Official(
      "256x256_diffusion_uncond",
      diffusion_config(image_size=256, **_WIDE),
      # As recorded by many projects that fetch this file and check it, independently of each other.
      size=2_211_383_297,
      sha256="a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1",
    ),
    Official("512x512_diffusion", diffusion_config(image_size=512, class_cond=True, **_WIDE)),
    Official("64_256_upsampler", super_resolution_config(large_size=256, num_channels=192, class_cond=True, **_ALL)),
    Official(
      "128_512_upsampler",
      super_resolution_config(
        large_size=512,
        num_channels=192,
        num_head_channels=64,
        class_cond=True,
        **_ALL | {"attention_resolutions": "32,16"},
      ),
    ),
    Official("lsun_bedroom", diffusion_config(image_size=256, dropout=0.1, **_WIDE)),
    Official("lsun_cat", diffusion_config(image_size=256, dropout=0.1, **_WIDE)),
    Official("lsun_horse", diffusion_config(image_size=256, dropout=0.1, **_WIDE)),
    Official("lsun_horse_nodropout", diffusion_config(image_size=256, **_WIDE)),
    Official("64x64_classifier", classifier_config(image_size=64, classifier_depth=4), "cosine"),
    Official("128x128_classifier", classifier_config(image_size=128)),
    Official("256x256_classifier", classifier_config(image_size=256)),
    Official("512x512_classifier", classifier_config(image_size=512)),
  )
}
