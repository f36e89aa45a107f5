"""What a program's time goes to: kinds by name, and a real profile of a known program."""

import jax
import jax.numpy as jnp
import pytest

from dig2dig_jax.benchmarks import kernels


@pytest.mark.parametrize(
  ("name", "kind"),
  [
    ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64", "convolution"),
    ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7", "attention"),
    ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT", "matrix product"),
    ("input_reduce_fusion_278", "sum or mean, with what is fused into it"),
    ("loop_multiply_fusion_46", "element by element"),
    ("MemcpyD2D", "copy or transpose"),
    ("ynn_fusion.3", "YNNPACK: convolutions, products, sums"),
    ("vector_fft", "Fourier transform"),
    ("something_new", "other"),
  ],
)
def test_kind_by_name(name, kind):
  assert kernels.kind(name) == kind


# JAX 0.12's reader of profiles ends the process where Python 3.13's warning about its types is an error.
@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
def test_profile_sees_what_runs():
  program = jax.jit(lambda x: jnp.fft.fft(jnp.cumsum(x @ x, axis=0)).real).lower(jnp.ones((256, 256))).compile()
  jax.block_until_ready(program(jnp.ones((256, 256))))
  operations = kernels.profile(lambda: program(jnp.ones((256, 256))))
  assert "Fourier transform" in {operation.kind for operation in operations}
  assert all(operation.seconds >= 0 and operation.count > 0 for operation in operations)
  assert [operation.seconds for operation in operations] == sorted((o.seconds for o in operations), reverse=True)


def test_markdown_adds_up():
  found = [
    kernels.Operation("a_conv", "convolution", 3.0, 2),
    kernels.Operation("b_conv", "convolution", 0.5, 1),
    kernels.Operation("c", "other", 0.5, 4),
  ]
  text = kernels.markdown(found, longest=1)
  assert "| convolution | 3.5000 | 88% | 3 |" in text
  assert "| other | 0.5000 | 12% | 4 |" in text
  assert "`a_conv`" in text and "`b_conv`" not in text
