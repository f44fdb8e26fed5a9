# SPDX-License-Identifier: BSD-2-Clause
# Coverage of src/mem by the engine's unit tests, from gcov's own summaries. Without sanitizers: they add branches.
COVERAGE_DIR := $(BUILD)/coverage
COVERAGE_TESTS := test_dma_merge test_failures test_p2m test_mem test_mem_check test_memvirt_state test_mem_random test_portion test_remap \
		  test_share test_share_found test_small_scope test_small_random test_withdraw test_watch test_retire
# At least, of src/mem in all: per cent.
COVERAGE_LINES := 98
COVERAGE_BRANCHES := 95
COVERAGE_CFLAGS := $(CSTD) -O0 -g --coverage -Isrc -Iabi -Itests/unit -DSCRIM_HOST=1
COVERAGE_OBJ := $(patsubst src/mem/%.c,$(COVERAGE_DIR)/%.o,$(wildcard src/mem/*.c))
COVERAGE_FAKES := $(filter-out tests/unit/fake_nested%,$(wildcard tests/unit/fake_*.c))
COVERAGE_HEADERS := $(wildcard src/mem/*.h src/base/*.h abi/*.h tests/unit/fake_*.h)

$(COVERAGE_DIR)/%.o: src/mem/%.c $(COVERAGE_HEADERS)
	@mkdir -p $(@D)
	$(Q)gcc $(COVERAGE_CFLAGS) -c $< -o $@

$(COVERAGE_DIR)/test_%: tests/unit/test_%.c $(COVERAGE_OBJ) $(COVERAGE_FAKES) src/base/ranges.c $(COVERAGE_HEADERS)
	$(Q)gcc $(CSTD) -O1 -g --coverage -Isrc -Iabi -Itests/unit $< $(COVERAGE_OBJ) $(COVERAGE_FAKES) \
		src/base/ranges.c -lcmocka -o $@

.PHONY: coverage
coverage: $(COVERAGE_TESTS:%=$(COVERAGE_DIR)/%) ## lines and branches of src/mem that the unit tests reach
	$(Q)rm -f $(COVERAGE_DIR)/*.gcda
	$(Q)for test in $^; do STEPS=200000 $$test >/dev/null 2>&1 || { echo "$$test failed"; exit 1; }; done
	$(Q)cd $(COVERAGE_DIR) && gcov -b $(notdir $(COVERAGE_OBJ)) 2>/dev/null | awk ' \
		/^File .src\/mem\// { file = $$2; mem = 1 } /^File / && !/src\/mem\// { mem = 0 } \
		mem && /^Lines executed/ { split($$2, a, ":"); sub("%", "", a[2]); line = a[2]; lines += $$4; hit += $$4 * a[2] / 100 } \
		mem && /^Taken at least once/ { split($$4, a, ":"); sub("%", "", a[2]); branches += $$6; taken += $$6 * a[2] / 100; \
			printf "%-36s lines %6.2f%%  branches %6.2f%%\n", file, line, a[2]; mem = 0 } \
		END { line = 100 * hit / lines; branch = 100 * taken / branches; \
			printf "figure: src/mem: lines %.2f%%, branches %.2f%%\n", line, branch; \
			exit line < $(COVERAGE_LINES) || branch < $(COVERAGE_BRANCHES) }'
