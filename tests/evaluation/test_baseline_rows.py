"""Do the trivial fusions score what the stored tables of real data sets say, by both papers' protocols?

All of it, a few minutes: DIG2DIG_FULL=1 python -m pytest tests/evaluation/test_baseline_rows.py
"""

import json
import os

import numpy as np
import pytest
from conftest import golden_path

from dig2dig_jax.data.datasets import DataConfig
from dig2dig_jax.evaluation import fused

# Our name of a column -> the name in the stored table of baselines.
COLUMNS = {
  "ddfm": {"EN": "EN", "SD": "SD", "MI_nats": "MI_nats", "VIF_cdd": "VIF_sum", "Qabf": "Qabf",
           "SSIM_cdd": "SSIM_sum_u7_L2", "SF": "SF", "AG": "AG", "SCD": "SCD"},
  "dig2dig": {"PSNR_sum": "PSNR_sum", "SSIM_uniform": "SSIM_sum_u7_L255", "SSIM": "SSIM_sum_g11_L255", "MSE": "MSE",
              "Nabf": "Nabf", "CC": "CC", "SD": "SD", "EI_skimage": "EI", "EN": "EN", "AG": "AG", "SF": "SF",
              "MI": "MI_bits"},
}  # fmt: skip
SCALES = {"EI_skimage": 0.25}  # of the stored column
SETS = {"MRI_CT": ("mif/mri_ct", ("ct", "mri")), "TNO": ("vif/tno", ("ir", "vi")),
        "RoadScene": ("vif/roadscene", ("ir", "vi"))}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("protocol", COLUMNS)
@pytest.mark.parametrize("name", SETS)
def test_trivial_fusions_have_the_rows_of_the_stored_tables(shared_data, tmp_path, name, protocol):
  """To nine digits; the tables print two to four."""
  if (name, protocol) != ("MRI_CT", "ddfm") and not os.environ.get("DIG2DIG_FULL"):
    pytest.skip("takes long; set DIG2DIG_FULL=1")
  place, sources = SETS[name]
  expected = json.loads(golden_path("metrics/baselines.json").read_text())["means"][name]
  report = fused.run({}, DataConfig(shared_data / place, sources), tmp_path, protocol=protocol)
  rows = {"average": "average", "pixel maximum": "max", "Laplacian pyramid": "laplacian",
          f"copy of {sources[0]}": "source_A", f"copy of {sources[1]}": "source_B"}  # fmt: skip
  for ours, theirs in rows.items():
    for column, stored in COLUMNS[protocol].items():
      found, wanted = report.comparison.summaries[ours][column].mean, expected[theirs][stored]
      wanted = np.nan if wanted is None else SCALES.get(column, 1) * float(wanted)
      np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9, err_msg=f"{ours} {column}")
