"""python -m convert.guided_diffusion: see dig2dig_jax/porting/guided_diffusion.py, or --help."""

import sys

from dig2dig_jax.porting.guided_diffusion import main

if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
