# SPDX-License-Identifier: BSD-2-Clause
# Figures for people; the tests hold the bars. What only this needs is fetched by a set-up of its own: gnuplot, and Debian's Xen.
BENCH_ENGINE_SRC := bench/engine.c $(wildcard src/mem/*.c) src/base/ranges.c src/base/hash.c
BENCH_GIB ?= 256
BENCH_FLAGS ?=
BENCH_PACKAGES := gnuplot-nox
BENCH_STAMP := $(BUILD)/images/xen
BENCH_ORDER := walks switch homecoming memory sharing boot host backends plot
BENCH_RUN := $(Q)BUILD=$(BUILD) python3 bench

$(BENCH_STAMP): bench/fetch_xen.sh | $(SETUP_STAMP)
	$(SETUP_APT) -qq -y --no-install-recommends install $(BENCH_PACKAGES)
	sh bench/fetch_xen.sh $(BUILD)/images

$(BUILD)/bench/engine: $(BENCH_ENGINE_SRC) tests/unit/port_by_page.h $(wildcard src/mem/*.h src/base/*.h abi/*.h)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) -O2 -g $(WARNINGS) -Isrc -Iabi -Itests/unit -DSCRIM_HOST=1 $(BENCH_ENGINE_SRC) -o $@

# Setup comes first and alone, as for the tests.
.PHONY: bench bench-parts bench-engine bench-host bench-backends bench-walks bench-switch bench-homecoming bench-memory bench-sharing bench-boot bench-plot
bench-parts: setup
	$(Q)$(MAKE) --no-print-directory $(BENCH_STAMP)
	$(Q)$(MAKE) --no-print-directory all guest-build
	$(Q)$(MAKE) --no-print-directory initramfs

# One after another: a machine has the host to itself, as far as this can see to it.
bench: bench-parts ## all comparisons: bench/results, and the tables of docs/performance.md; one machine at a time
	$(Q)begin=$$(date +%s); $(foreach part,$(BENCH_ORDER),$(MAKE) --no-print-directory bench-$(part) &&) \
		echo "bench: $$(( ($$(date +%s) - begin) / 60 )) minutes in all"

bench-engine: $(BUILD)/bench/engine ## planning, bookkeeping, hashing and copying, a page, for up to BENCH_GIB (256) of displaced memory
	$(Q)$(BUILD)/bench/engine $(BENCH_GIB)

bench-host: $(BUILD)/bench/engine
	$(BENCH_RUN)/host.py $(BUILD)/bench/engine $(BENCH_GIB)

bench-backends: bench-parts ## the fixed loads: bare machine, Scrim by back-end, KVM, Xen; BENCH_FLAGS="--rounds 1 --percent 40" is shorter
	$(BENCH_RUN)/backends.py $(BENCH_FLAGS)

bench-walks: bench-parts ## how often a walk of page tables reads memory
	$(BENCH_RUN)/walks.py

bench-switch: bench-parts ## a switch, in instructions, by memory and CPUs
	$(BENCH_RUN)/switch.py

bench-homecoming: bench-parts ## bringing pages home, in instructions, by pages, batch and back-end
	$(BENCH_RUN)/homecoming.py

bench-memory: bench-parts ## what Scrim takes of the machine's memory
	$(BENCH_RUN)/memory.py

bench-sharing: bench-parts ## equal pages that come to share a frame, beside Linux's KSM
	$(BENCH_RUN)/sharing.py

bench-boot: bench-parts ## instructions from Scrim's first to Linux's first
	$(BENCH_RUN)/boot.py

bench-plot: ## bench/results/*.svg, of the figures that are there
	$(BENCH_RUN)/plot.py
