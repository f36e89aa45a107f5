# Set-up, the main job on the bundled examples, tests. Everything is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that share the tests: most of their time is compilation, which uses one core. Each takes below 2 GB, most of
# the time about 1: programs are freed after every file, and a file that takes its process beyond 2 GB fails.
WORKERS ?= 2
# Several GB of CUDA only where an NVIDIA driver answers.
REQUIREMENTS := $(shell nvidia-smi >/dev/null 2>&1 && echo requirements.txt || echo requirements-cpu.txt)

.PHONY: fuse test test-slow lint docs clean

$(VENV)/installed: $(REQUIREMENTS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

# The examples are small: padding them to multiples of 64 costs no program more and a sixth of the pixels less. Results of
# older weights or flags are written over; what is up to date is left.
fuse: $(VENV)/installed
	$(BIN)/python launch.py --flagfile=vif.flags --bucket=64 --out=out/vif --overwrite
	$(BIN)/python launch.py --flagfile=mff.flags --bucket=64 --out=out/mff --overwrite
	$(BIN)/python launch.py --flagfile=mef.flags --bucket=64 --out=out/mef --overwrite

# By file, because the tests of a file share what it compiled and trained: worksteal would compile it in each process.
# In the order of tests/conftest.py, longest first: pytest-xdist's own puts the files of most tests first, and the
# longest have few.
test: $(VENV)/installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What `make test` leaves out: whole commands, large networks and several processes once more.
test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m slow

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/mypy

# The documentation as a site that opens from the disk, site/index.html; what would be a warning stops it.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 JAX_PLATFORMS=cpu $(BIN)/mkdocs build --strict --quiet

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) out site .pytest_cache .ruff_cache *.egg-info
