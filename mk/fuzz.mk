# Fuzz targets: each tests/fuzz/fuzz_*.c with the pure boot code and parsers (fuzz_request: see below), under libFuzzer, ASan and UBSan. Needs clang.
# Works by itself too: make -f mk/fuzz.mk fuzz FUZZ_SECONDS=60
ifndef WARNINGS
include mk/flags.mk
endif
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 5
FUZZ_SAN := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_CFLAGS := $(CSTD) -O1 -g $(WARNINGS) $(FUZZ_SAN) -Isrc -Iabi -Itests/fuzz
FUZZ_SRC := $(filter-out src/base/str.c,$(wildcard src/base/*.c)) $(wildcard src/boot/*.c) src/hw/acpi_dmar.c src/hw/acpi_ivrs.c
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(FUZZ_SRC))
# fuzz_request: src/virt on the simulated machine of a unit test (host.mk). What is below it is compiled without a look at each
# comparison, what checks without counters as well: they are most of the time. Less per input, since each byte is a whole operation.
FUZZ_VIRT_TEST := tests/unit/virt_requests
FUZZ_PLAIN_SRC := src/mem/mem_check.c $(filter-out %/main.c %/together.c,$(wildcard $(FUZZ_VIRT_TEST)/*.c))
FUZZ_BELOW_SRC := $(filter-out src/mem/mem_check.c,$(wildcard src/mem/*.c)) $(wildcard src/xlat/*.c) src/base/hash.c src/base/ranges.c
FUZZ_VIRT_SRC := $(addprefix src/virt/,$(VIRT_TESTED)) tests/fuzz/fuzz_request.c
FUZZ_VIRT_OBJ := $(patsubst %.c,$(BUILD)/fuzz/virt/%.o,$(FUZZ_VIRT_SRC) $(FUZZ_BELOW_SRC) $(FUZZ_PLAIN_SRC))
FUZZ_REQUEST_FLAGS = -max_len=1500 -timeout=60 --seeds=$(BUILD)/fuzz/run/fuzz_request/corpus
FUZZ_NAMES := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(FUZZ_OBJ)
	$(FUZZ_CC) $(FUZZ_SAN) $^ -o $@

$(BUILD)/fuzz/virt/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) -I$(FUZZ_VIRT_TEST) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

$(FUZZ_PLAIN_SRC:%.c=$(BUILD)/fuzz/virt/%.o): FUZZ_CFLAGS := $(subst -O1,-O2,$(subst fuzzer$(comma),,$(FUZZ_CFLAGS)))
$(FUZZ_BELOW_SRC:%.c=$(BUILD)/fuzz/virt/%.o): FUZZ_CFLAGS := $(subst -O1,-O2,$(FUZZ_CFLAGS)) -fno-sanitize-coverage=trace-cmp

$(BUILD)/fuzz/fuzz_request: $(FUZZ_VIRT_OBJ)
	$(FUZZ_CC) $(FUZZ_SAN) $^ -o $@

.PHONY: fuzz-build fuzz
fuzz-build: $(FUZZ_NAMES:%=$(BUILD)/fuzz/%) ## build the fuzz targets

# The corpus is kept in the build tree and grows from run to run; a crashing input is left beside it.
fuzz: fuzz-build ## run each fuzz target for FUZZ_SECONDS
	@failed=0; for name in $(FUZZ_NAMES); do \
		home=$(BUILD)/fuzz/run/$$name; mkdir -p $$home/corpus; \
		flags=; [ $$name != fuzz_request ] || flags="$(FUZZ_REQUEST_FLAGS)"; \
		if $(BUILD)/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=10 -print_final_stats=1 \
			$$flags -artifact_prefix=$$home/ $$home/corpus >$$home/log 2>&1; then \
			echo "$$name: ok, $$(sed -n 's/^stat::number_of_executed_units: *//p' $$home/log) inputs in $(FUZZ_SECONDS) s"; \
		else \
			echo "$$name: FAILED, see $$home/log"; failed=1; \
		fi; \
	done; exit $$failed

-include $(shell find $(BUILD)/fuzz -name '*.d' 2>/dev/null)
