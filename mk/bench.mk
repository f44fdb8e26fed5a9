# SPDX-License-Identifier: BSD-2-Clause
# Figures for people; the tests hold the bars.
BENCH_ENGINE_SRC := bench/engine.c $(wildcard src/mem/*.c) src/base/ranges.c
BENCH_GIB ?= 256

$(BUILD)/bench/engine: $(BENCH_ENGINE_SRC) tests/unit/port_by_page.h $(wildcard src/mem/*.h src/base/*.h abi/*.h)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CSTD) -O2 -g $(WARNINGS) -Isrc -Iabi -Itests/unit -DSCRIM_HOST=1 $(BENCH_ENGINE_SRC) -o $@

.PHONY: bench bench-engine
bench: test-parts bench-engine ## what a switch costs, by CPUs and memory; what the memory engine costs a page
	$(Q)BUILD=$(BUILD) python3 bench/switch.py

bench-engine: $(BUILD)/bench/engine ## planning, bookkeeping and copying, a page, for up to BENCH_GIB (256) of displaced memory
	$(Q)$(BUILD)/bench/engine $(BENCH_GIB)

.PHONY: bench-backends
bench-backends: test-parts ## instructions of the fixed loads: bare machine, Scrim by back-end, KVM; about four minutes
	$(Q)BUILD=$(BUILD) python3 bench/backends.py
