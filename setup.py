"""What a wheel holds beside the modules: priors, flag files, presets and examples, as `dig2dig_jax/assets`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class WithAssets(build_py):
  def run(self):
    super().run()
    if self.editable_mode:  # which finds them where they are
      return
    assets = Path(self.build_lib) / "dig2dig_jax" / "assets"
    for name in ("checkpoints", "presets", "examples"):
      shutil.copytree(ROOT / name, assets / name, dirs_exist_ok=True)
    for path in ROOT.glob("*.flags"):
      shutil.copy2(path, assets / path.name)


setup(cmdclass={"build_py": WithAssets})
