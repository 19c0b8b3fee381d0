# The front door: each target does what it needs first, on a fresh machine too. The work is done by scripts/.
# PLASTICITY_LLAMA_PREFIX=DIR uses an installed llama.cpp; PLASTICITY_CUDA=ON (VULKAN, METAL) chooses ggml's devices.
.DEFAULT_GOAL := build
.PHONY: build setup demo test install package trainer-test fuzz bench coverage format clean help

build: setup  ## set up and build build/plasticity (what plain `make` does)
	@scripts/build release plasticity

setup:  ## install packages, build llama.cpp once, fetch the test model
	@scripts/setup

demo: build  ## all five stages on SmolLM2-135M with Python sources as the task
	@scripts/demo

test: setup  ## format, clang-tidy, sanitizers and every test
	@scripts/test

install: build  ## install the program, the library, man pages and completions (PREFIX, DESTDIR)
	@scripts/build release plasticity plasticity_library reference
	@cmake --install build/release --prefix "$(or $(PREFIX),/usr/local)"

package:  ## Debian packages in build/packages, for machines other than this one too
	@scripts/package

trainer-test:  ## tests of the Python trainer, in an environment of 5.6 GB that it makes
	@scripts/trainer pytest --quiet trainer

fuzz: setup  ## run every fuzz target for SECONDS (60 unless given); needs clang, which it installs
	@scripts/fuzz $(SECONDS)

bench: build  ## compare with llama.cpp's own tools, side by side, and print the ratios (BENCH="--models qwen2.5-coder-1.5b", --all)
	@bench/run.sh $(BENCH)

coverage: setup  ## which lines the unit tests reach
	@scripts/coverage

format:  ## format the C++ sources with the pinned clang-format
	@scripts/format

clean:  ## remove build/; the cache with llama.cpp and the models stays
	@rm -rf build

help:  ## this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "make %-13s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
