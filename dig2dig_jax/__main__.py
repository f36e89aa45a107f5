"""python -m dig2dig_jax: the command `dig2dig`."""

from dig2dig_jax.cli.main import start

if __name__ == "__main__":
  start()
