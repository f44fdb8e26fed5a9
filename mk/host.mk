# Unit tests: the pure sources, compiled for the host under ASan and UBSan, linked with each tests/unit/test_*.c.
# What needs the hardware is replaced at link time by tests/unit/fake_*.c.
UNIT_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_CFLAGS := $(CSTD) -O1 -g $(WARNINGS) $(UNIT_SAN) -fno-omit-frame-pointer -Isrc -Iabi -Itests/unit -DSCRIM_HOST=1
PURE_SRC := $(filter-out src/base/str.c,$(wildcard src/base/*.c)) $(wildcard src/mem/*.c) \
	    $(wildcard src/boot/*.c) $(wildcard src/xlat/*.c) src/virt/insn_decode.c src/virt/machine_check_banks.c src/svm/svm_probe.c src/vmx/vmx_controls.c src/vmx/vmx_probe.c src/vmx/vmx_audit.c src/vmx/vmx_audit_guest.c src/hw/acpi_dmar.c src/hw/acpi_ivrs.c src/hw/mtrr_types.c src/iommu/vtd_format.c src/iommu/amdvi_format.c
FAKE_SRC := $(wildcard tests/unit/fake_*.c)
UNIT_OBJ := $(patsubst %.c,$(BUILD)/unit/obj/%.o,$(PURE_SRC) $(FAKE_SRC))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

$(BUILD)/unit/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/unit/libpure.a: $(UNIT_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/unit/test_%: $(BUILD)/unit/obj/tests/unit/test_%.o $(BUILD)/unit/libpure.a
	$(Q)$(CC) $(UNIT_SAN) $^ -lcmocka $(UNIT_LIBS) -o $@

# Under ThreadSanitizer, which goes with no other: so from its own objects.
THREADS_SRC := tests/unit/test_mem_threads.c $(wildcard src/mem/*.c) src/base/ranges.c
THREADS_OBJ := $(patsubst %.c,$(BUILD)/unit/threads/%.o,$(THREADS_SRC))
THREADS_CFLAGS := $(filter-out $(UNIT_SAN),$(UNIT_CFLAGS)) -fsanitize=thread -pthread

$(BUILD)/unit/threads/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(THREADS_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/unit/test_mem_threads: $(THREADS_OBJ)
	$(Q)$(CC) -fsanitize=thread -pthread $^ -lcmocka -o $@

# An independent decoder.
$(BUILD)/unit/test_insn_decode: UNIT_LIBS := -lZydis

# src/virt on a simulated machine: headers of src/hw that are instructions are replaced by those in the test's directory.
VIRT_TEST := tests/unit/virt_requests
VIRT_TEST_SRC := $(addprefix src/virt/,$(VIRT_TESTED)) $(wildcard $(VIRT_TEST)/*.c)
VIRT_TEST_OBJ := $(patsubst %.c,$(BUILD)/unit/virt/%.o,$(VIRT_TEST_SRC))

$(BUILD)/unit/virt/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) -I$(VIRT_TEST) $(UNIT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/unit/test_virt_requests: $(VIRT_TEST_OBJ) $(BUILD)/unit/libpure.a
	$(Q)$(CC) $(UNIT_SAN) $^ -lcmocka -o $@

# src/iommu on simulated units, in the same way.
VTD_TEST := tests/unit/vtd_units
VTD_TEST_SRC := src/iommu/vtd.c src/iommu/vtd_unit.c src/iommu/vtd_cover.c $(wildcard $(VTD_TEST)/*.c)
VTD_TEST_OBJ := $(patsubst %.c,$(BUILD)/unit/vtd/%.o,$(VTD_TEST_SRC))

$(BUILD)/unit/vtd/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) -I$(VTD_TEST) $(UNIT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/unit/test_vtd_units: $(VTD_TEST_OBJ) $(BUILD)/unit/libpure.a
	$(Q)$(CC) $(UNIT_SAN) $^ -lcmocka -o $@

AMDVI_TEST := tests/unit/amdvi_units
AMDVI_TEST_SRC := src/iommu/amdvi.c src/iommu/amdvi_unit.c src/iommu/amdvi_cover.c $(wildcard $(AMDVI_TEST)/*.c)
AMDVI_TEST_OBJ := $(patsubst %.c,$(BUILD)/unit/amdvi/%.o,$(AMDVI_TEST_SRC))

$(BUILD)/unit/amdvi/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) -I$(AMDVI_TEST) $(UNIT_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/unit/test_amdvi_units: $(AMDVI_TEST_OBJ) $(BUILD)/unit/libpure.a
	$(Q)$(CC) $(UNIT_SAN) $^ -lcmocka -o $@

unit-build: $(UNIT_TESTS) $(BUILD)/unit/test_virt_requests $(BUILD)/unit/test_vtd_units $(BUILD)/unit/test_amdvi_units
-include $(shell find $(BUILD)/unit -name '*.d' 2>/dev/null)
