"""The settings that tests of video run with: the tuned ones, in fewer bands."""

import dataclasses

from dig2dig_jax.front.preset import preset

OPTIONS = dataclasses.replace(preset("thermal").options, bands=4, restore="off")
