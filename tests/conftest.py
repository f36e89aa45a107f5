"""Where do the tests find their truth? Golden arrays and shared data, by relative path; and how strict is JAX."""

import ctypes
import functools
import gc
import hashlib
import os
import pathlib
import resource
import signal
import sys
import time

# Set before jax is imported: the tests belong on the CPU unless whoever runs them says otherwise.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import checked  # noqa: F401  # before the package
import jax
import jaxtyping
import numpy as np
import pytest
from flax import traverse_util
from jax._src import compiler  # JAX has no public setting of XLA's options for all programs

from dig2dig_jax import metrics
from dig2dig_jax.front import images as front
from dig2dig_jax.fusing.programs import Programs
from dig2dig_jax.models.config import UNetConfig
from dig2dig_jax.models.shapes import parameter_shapes
from dig2dig_jax.priors import checkpoint
from dig2dig_jax.restoration import blind_restorer, restorer

pytest_plugins = ["page_fixtures"]  # two files of the name conftest cannot both be imported

# A shell that runs the tests in the background, or nohup, has these ignored, in all processes that the tests start too.
for _signal, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
  if signal.getsignal(_signal) is signal.SIG_IGN:
    signal.signal(_signal, _handler)

# Tests measure and count what is compiled: nothing may come from an earlier run.
jax.config.update("jax_enable_compilation_cache", False)
# A [3] meeting an [H, W, C] by accident is a bug that no shape check downstream would show.
jax.config.update("jax_numpy_rank_promotion", "raise")

# XLA's newer emitter of fused loops costs a third of all compilation and half of its memory; to cut a program into 32
# parts, for as many cores, a fifth. JAX 0.10 is the last one known to have a choice of emitters.
SIMPLE_LOOPS: dict[str, bool | int] = {"xla_cpu_parallel_codegen_split_count": 1}
if jax.__version_info__ < (0, 11):
  SIMPLE_LOOPS["xla_cpu_use_fusion_emitters"] = False
SIMPLE_LOOPS_FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in SIMPLE_LOOPS.items())  # XLA_FLAGS
DEFAULT_OPTIONS = compiler.get_compile_options
# Tracing makes many objects that live; to look through them after every 700 takes a tenth of its time.
gc.set_threshold(50_000, 20, 100)

TESTS = pathlib.Path(__file__).resolve().parent
SHARED = pathlib.Path(os.environ.get("DIG2DIG_SHARED", TESTS.parents[1] / "shared"))


# What takes longest comes first, so that no process is left alone with it at the end; measured, from time to time, by
# `pytest --durations=0`. The rest follows as collected.
LONGEST = (
  "sampling/test_joint_observation.py",  # first: its gradient takes the most memory to compile
  "test_contract.py",  # and these two while the process is small, for the same reason
  "restoration/test_noise_level.py",
  "training/test_train.py",
  "test_chaos.py",
  "test_presets.py",
  "models/test_unet_goldens.py",
  "training/test_drfusion_training.py",
  "benchmarks/test_benchmark.py",
  "metrics/test_metric_values.py",
  "fusing/test_processes.py",
  "fusing/test_kept_runs.py",
  "fusing/test_scale.py",
  "guidance/test_controlled.py",
  "test_launch.py",
  "metrics/test_metric_goldens.py",
  "benchmarks/test_degraded.py",
  "methods/test_registry.py",
  "methods/test_drfusion.py",
  "porting/test_verify.py",
  "fusing/test_boundary.py",
  "models/test_classifier_goldens.py",
  "porting/test_detect.py",
  "guidance/test_guidance.py",
  "test_front.py",
  "benchmarks/test_yardstick.py",
  "benchmarks/test_theory.py",
)


def pytest_collection_modifyitems(items):
  """Stable: within a file, and among the files that LONGEST does not name, the order is pytest's."""
  ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST)}
  items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def golden_path(relative):
  """Path of a golden file: the copy in tests/goldens, else the one in $DIG2DIG_SHARED/golden, else the test skips."""
  for folder in (TESTS / "goldens", SHARED / "golden"):
    if (folder / relative).exists():
      return folder / relative
  pytest.skip(f"golden file {relative} is neither in tests/goldens nor in {SHARED / 'golden'}")


@pytest.fixture
def golden():
  """The function `golden_path(relative) -> Path`."""
  return golden_path


@pytest.fixture
def shared_data():
  """Path of the shared image data ($DIG2DIG_SHARED/data), else the test skips."""
  folder = SHARED / "data"
  if not folder.is_dir():
    pytest.skip(f"no shared data: {folder} does not exist; set DIG2DIG_SHARED")
  return folder


# A few thousand parameters: compiled in seconds, and any H x W.
TINY = UNetConfig(
  image_size=16,
  model_channels=8,
  out_channels=3,
  num_res_blocks=1,
  attention_ds=(),
  channel_mult=(1, 2),
  patch=2,
  norm_groups=4,
  middle_attention=False,
)


@pytest.fixture
def unchecked():
  """For tests that give arguments of wrong types, to see what a user is told: annotations are not looked at."""
  jaxtyping.config.update("jaxtyping_disable", True)
  yield
  jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def tiny_prior(tmp_path_factory):
  """Checkpoint folder of a tiny network with random weights; unlike at the start of training, its output is not 0."""
  rng = np.random.default_rng(0)
  flat = {
    path: (rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[:-1])))).astype(np.float32)
    for path, shape in parameter_shapes(TINY).items()
  }
  folder = tmp_path_factory.mktemp("priors") / "tiny"
  checkpoint.save_checkpoint(
    folder,
    params=traverse_util.unflatten_dict(flat, sep="/"),
    config=TINY,
    schedule={"name": "linear", "num_timesteps": 1000},
    card={"note": "random weights, for tests"},
  )
  return folder


_compiled = {}  # {digest of a program and of how it is compiled: what the compiler made of it}, the last few
_KEPT = 3  # programs, of which one may take 100 MB
_LONG = 0.3  # seconds, from which a program is worth it


def compile_once(compile_or_get_cached):
  """Within a file the same program is compiled once, as a user's process that runs one command after another would be
  served by the cache on disk; runs that have that cache go by it."""

  @functools.wraps(compile_or_get_cached)
  def compiled(backend, computation, devices, compile_options, host_callbacks, *args, **kwargs):
    run = functools.partial(
      compile_or_get_cached, backend, computation, devices, compile_options, host_callbacks, *args, **kwargs
    )
    if host_callbacks or jax.config.jax_enable_compilation_cache:
      return run()
    told = [str(computation), compile_options.SerializeAsString().hex(), str(compile_options.env_option_overrides),
            str(devices.flatten().tolist())]  # fmt: skip
    key = hashlib.sha256("\n".join(told).encode()).digest()
    found, start = _compiled.pop(key, None), time.process_time()
    if found is None:
      found = run()
      if time.process_time() - start < _LONG:
        return found
    _compiled[key] = found  # the newest is the last
    while len(_compiled) > _KEPT:
      _compiled.pop(next(iter(_compiled)))
    return found

  return compiled


compiler.compile_or_get_cached = compile_once(compiler.compile_or_get_cached)

LARGEST_MB = 2000  # resident; two such processes are what `make test` asks of a machine
_growth = {}  # {file: MB that it added to this process's peak}


def compile_quickly(optimise=False):
  """XLA optimises little and, on CPUs, emits loops in its older and simpler way: half the time and half the memory."""
  jax.config.update("jax_disable_most_optimizations", not optimise)
  options_of = compiler.get_compile_options

  def quick_options(*args, **kwargs):
    options = options_of(*args, **kwargs)
    if jax.default_backend() == "cpu" and not options.env_option_overrides:
      options.env_option_overrides = [*SIMPLE_LOOPS.items()]
    return options

  compiler.get_compile_options = quick_options
  return options_of


@pytest.fixture(scope="module")
def quick_compile(free_programs):
  """For tests of what is computed, not of how it is compiled: their programs are tiny and many."""
  options_of = compile_quickly()
  yield
  compiler.get_compile_options = options_of
  jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def simple_loops(free_programs):
  """As quick_compile, but optimised: for few programs that compute much."""
  options_of = compile_quickly(optimise=True)
  yield
  compiler.get_compile_options = options_of


@pytest.fixture(scope="module")
def one_method(free_programs):
  """For files whose runs of the fuse job are all of one method, or say by flags what they are of: what is kept on disk
  for a user is kept here for the file, under the same key. Nothing is traced, lowered and compiled twice."""
  get, found = Programs.get, {}

  def once(self, name, devices, make, arguments, **kwargs):
    if self._folder is not None:
      return get(self, name, devices, make, arguments, **kwargs)
    key = self._key(name, devices), str(self._options)
    if key not in found:
      found[key] = get(self, name, devices, make, arguments, **kwargs)
    return found[key]

  Programs.get = once
  yield
  Programs.get = get


@pytest.fixture
def default_compile(monkeypatch):
  """In a file that compiles quickly: for a test of how a program is compiled, which jits a function of its own."""
  monkeypatch.setattr(compiler, "get_compile_options", DEFAULT_OPTIONS)
  jax.config.update("jax_disable_most_optimizations", False)
  yield
  jax.config.update("jax_disable_most_optimizations", True)


def free():
  """Drops every compiled program, and gives back to the system what malloc keeps of them."""
  for cached in (metrics._padded, metrics._filling, restorer._program, blind_restorer._program, blind_restorer._factors,
                 front._program):  # fmt: skip
    cached.cache_clear()
  _compiled.clear()
  jax.clear_caches()
  gc.collect()
  if sys.platform == "linux":
    getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)(0)


def _peak():
  """Largest resident size of this process so far, in MB."""
  found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return found / (1e6 if sys.platform == "darwin" else 1e3)


@pytest.fixture(scope="module", autouse=True)
def free_programs(request):
  """No file's programs outlive it, and no process outgrows what `make test` may take: the file that does it fails."""
  before = _peak()
  yield
  free()
  _growth[request.node.nodeid] = _peak() - before
  if before < LARGEST_MB <= _peak() and jax.default_backend() == "cpu":
    most = sorted(_growth, key=_growth.get, reverse=True)[:3]
    told = ", ".join(f"{name} {_growth[name]:.0f}" for name in most)
    pytest.fail(f"this process's peak is {_peak():.0f} MB, expected below {LARGEST_MB}; most was added by {told}")
