"""Which numbers does the paper print? All of its tables (arXiv 2503.18627) as printed, for docs/paper.md and presets.

A row is a line: the method's name, two spaces, the values. Read from the paper's text, column order as there.
`python -m dig2dig_jax.benchmarks.paper` prints them in Markdown, which stands in docs/paper.md.
"""

import argparse
from typing import NamedTuple

from dig2dig_jax.escape import table


class Printed(NamedTuple):
  """title: as the document heads it. columns: measures, with the arrow to where they are better. rows: {name: values as
  printed}."""

  title: str
  columns: tuple[str, ...]
  rows: dict[str, tuple[str, ...]]

  def markdown(self) -> str:
    """The table."""
    return table(["method", *self.columns], [[name, *values] for name, values in self.rows.items()])


def _printed(title: str, columns: str, text: str) -> Printed:
  rows = (line.strip().split("  ", 1) for line in text.strip().splitlines())
  return Printed(title, tuple(columns.split()), {name: tuple(values.split()) for name, values in rows})


_VIF, _SHARP = "PSNR↑ SSIM↑ MSE↓ Nabf↓ CC↑ LPIPS↓", "SD↑ EI↑ EN↑ AG↑ SF↑ MI↑"

TABLES: dict[str, Printed] = {
  "1 LLVIP": _printed("Table 1, LLVIP", _VIF, """
    SwinFusion  32.33 0.81 2845 0.023 0.67 0.321
    DIVFusion  21.60 0.82 6450 0.044 0.66 0.350
    MoE-Fusion  31.70 1.12 2402 0.034 0.69 0.324
    MUFusion  31.64 1.10 2069 0.030 0.65 0.320
    CDDFuse  32.13 1.18 2545 0.016 0.67 0.335
    DDFM  36.10 1.18 2056 0.004 0.67 0.310
    Text-IF  31.22 1.18 2460 0.031 0.69 0.312
    TC-MoA  33.00 1.20 2790 0.017 0.67 0.332
    CCF  33.12 1.22 1658 0.006 0.70 0.334
    Dig2DIG  33.74 1.23 1464 0.001 0.73 0.298
  """),
  "1 M3FD": _printed("Table 1, M3FD", _VIF, """
    SwinFusion  31.73 1.40 3853 0.021 0.51 0.289
    DIVFusion  26.19 1.20 4099 0.083 0.51 0.377
    MoE-Fusion  33.15 1.37 3462 0.012 0.47 0.303
    MUFusion  29.82 1.29 2733 0.071 0.50 0.349
    CDDFuse  31.75 1.40 3715 0.030 0.52 0.278
    DDFM  30.87 1.40 2221 0.007 0.56 0.303
    Text-IF  34.01 1.39 3470 0.037 0.48 0.277
    TC-MoA  31.07 1.40 2516 0.011 0.53 0.289
    CCF  31.51 1.40 2271 0.010 0.56 0.291
    Dig2DIG  31.83 1.41 2216 0.009 0.57 0.287
  """),
  "1 MSRS": _printed("Table 1, MSRS", _VIF, """
    SwinFusion  39.34 1.41 1755 0.002 0.59 0.298
    DIVFusion  18.49 0.69 10054 0.100 0.52 0.462
    MoE-Fusion  38.21 1.35 2637 0.030 0.60 0.298
    MUFusion  36.02 1.25 1701 0.037 0.037 0.370
    CDDFuse  37.76 1.30 2485 0.022 0.59 0.335
    DDFM  38.19 1.39 1367 0.004 0.66 0.287
    Text-IF  41.93 1.37 2494 0.027 0.60 0.298
    TC-MoA  37.73 1.40 1640 0.005 0.62 0.293
    CCF  38.00 1.38 1410 0.006 0.64 0.319
    Dig2DIG  39.07 1.42 1366 0.001 0.63 0.282
  """),
  "2 MFFW": _printed("Table 2, MFFW (multi-focus)", _SHARP, """
    FusionDN  66.59 17.20 7.45 6.74 22.27 3.37
    U2Fusion  64.88 11.97 6.93 5.56 18.74 3.251
    DeFusion  52.75 10.60 6.80 4.32 14.12 2.92
    DDFM  67.30 14.32 7.51 3.82 13.40 5.71
    Text-IF  62.51 12.73 6.39 4.82 17.26 3.41
    TC-MoA  50.27 12.18 7.07 4.82 15.64 3.39
    TTD  52.86 15.94 7.10 6.38 21.99 4.54
    Dig2DIG  72.95 16.64 7.87 6.75 22.60 5.97
  """),
  "2 MEFB": _printed("Table 2, MEFB (multi-exposure)", _SHARP, """
    FusionDN  61.50 19.55 7.29 7.56 21.05 3.47
    U2Fusion  67.83 19.54 7.37 8.08 22.19 3.38
    DeFusion  54.75 12.55 7.28 4.76 12.72 3.89
    DDFM  56.34 11.95 7.30 4.47 12.21 8.49
    Text-IF  66.27 20.01 7.37 7.72 21.58 3.30
    TC-MoA  57.55 17.65 7.35 6.95 20.67 4.45
    TTD  54.22 19.10 7.39 7.70 23.51 3.59
    Dig2DIG  75.05 20.21 7.38 8.10 23.60 6.87
  """),
  "3": _printed("Table 3, distance of the gains, M3FD", "PSNR↑ MSE↓ CC↑ LPIPS↓", """
    none  30.87 2221 0.568 0.303
    first distance  31.25 2220 0.569 0.293
    SSIM  31.69 2245 0.571 0.297
    adopted distance  31.83 2216 0.573 0.287
  """),
  "4": _printed("Table 4, steps between updates, M3FD", "SSIM↑ MSE↓ CC↑ LPIPS↓", """
    S = 1  1.35 2562 0.521 0.3082
    S = 5  1.38 2321 0.533 0.2935
    S = 10  1.41 2215 0.5728 0.2870
    S = 20  1.40 2220 0.5698 0.2890
  """),
  "5": _printed("Table 5, reverse steps, M3FD, one RTX A6000", "SSIM↑ MSE↓ CC↑ LPIPS↓ seconds", """
    DIG-15  1.30 2771 0.501 0.3122 31
    DIG-20  1.38 2321 0.551 0.2935 43
    DIG-25  1.41 2215 0.5728 0.2870 52
    DIG-50  1.41 2219 0.5735 0.289 109
    CCF  1.40 2271 0.5726 0.2912 633
    DDFM  1.40 2221 0.5684 0.3033 180
  """),
}


def page() -> str:
  """All tables in Markdown, each under its title."""
  return "\n".join(f"**{printed.title}**\n\n{printed.markdown()}" for printed in TABLES.values())


if __name__ == "__main__":
  argparse.ArgumentParser(prog="python -m dig2dig_jax.benchmarks.paper", description=__doc__).parse_args()
  print(page(), end="")
