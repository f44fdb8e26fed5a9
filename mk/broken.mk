# SPDX-License-Identifier: BSD-2-Clause
# Scrim with something left out, or made slow, for tests that show that a test can fail: the linker puts functions of tests/broken in the
# place of real ones. What each image is made of, and which functions each part replaces:
BROKEN_slow := slow
BROKEN_slow-no-merge := slow no-merge
BROKEN := slow slow-no-merge

REPLACED_no-merge := dma_merge_late_writes
REPLACED_slow := dma_merge_copy

broken-obj = $(patsubst %,$(BUILD)/target/tests/broken/%.c.o,$(BROKEN_$(1)))
broken-flags = $(patsubst %,-Wl$(comma)--wrap=%,$(foreach part,$(BROKEN_$(1)),$(REPLACED_$(part))))

.SECONDEXPANSION:
$(patsubst %,$(BUILD)/broken/%.elf,$(BROKEN)): $(BUILD)/broken/%.elf: $(TARGET_OBJ) $$(call broken-obj,$$*) src/main/scrim.ld
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(TARGET_LDFLAGS) $(call broken-flags,$*) $(TARGET_OBJ) $(call broken-obj,$*) -o $(@:.elf=.debug)
	$(Q)objcopy --strip-debug $(@:.elf=.debug) $@

.PHONY: broken
broken: $(patsubst %,$(BUILD)/broken/%.elf,$(BROKEN))
