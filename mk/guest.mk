# SPDX-License-Identifier: BSD-2-Clause
# What runs inside the virtual machine. GUEST_PROGRAMS are static Linux programs: the harness puts every file of
# $(BUILD)/guest into the initramfs, so objects lie elsewhere. GUEST_IMAGES are kernels for the boot loader.
GUEST_DIR := tests/guest
GUEST_CFLAGS := $(CSTD) -O2 -g $(WARNINGS) -D_GNU_SOURCE -pthread -Iabi -I$(GUEST_DIR)
GUEST_LDFLAGS := -static -pthread -Wl,-s
GUEST_PROGRAMS := $(addprefix $(BUILD)/guest/,load work runwork portfuzz ask switchcost switcher hammer \
		  twins stepcost redisload keys netload hold chain pour writer pacer equal diskload edu)
# The same for i386 kernels; scrimctl for them: tools.mk.
GUEST_I386_PROGRAMS := $(addprefix $(BUILD)/guest-i386/,load work ask switcher)
GUEST_IMAGES := $(addprefix $(BUILD)/guest-image/,multiboot_guest.elf paging_guest.elf x2apic_guest.elf)
GUEST32_CFLAGS := $(CSTD) -m32 -march=i686 -O2 -g $(WARNINGS) -ffreestanding -fno-pic -fno-pie -fno-stack-protector \
		  -fno-asynchronous-unwind-tables -mno-sse -mno-mmx -mno-80387 -fcf-protection=none -I$(GUEST_DIR) -Iabi
# Each kernel: its own directory, and kernel/, which they share.
guest32-obj = $(patsubst $(GUEST_DIR)/%,$(BUILD)/guest-obj/%.o,$(foreach room,kernel $(1),$(wildcard $(GUEST_DIR)/$(room)/*.[cS])))

$(BUILD)/guest-obj/%.o: $(GUEST_DIR)/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

guest-obj = $(addprefix $(BUILD)/guest-obj/,$(1))
$(BUILD)/guest/load: $(call guest-obj,load.o load_churn.o load_pair.o load_pattern.o load_region.o load_ring.o load_time.o guest_util.o)
$(BUILD)/guest/work: $(call guest-obj,work.o work_around.o guest_util.o)
$(BUILD)/guest/runwork: $(call guest-obj,runwork.o work_around.o guest_util.o)
$(BUILD)/guest/switcher: $(call guest-obj,switcher.o guest_util.o)
$(BUILD)/guest/hammer: $(call guest-obj,hammer.o guest_util.o)
$(BUILD)/guest/twins: $(call guest-obj,twins.o guest_util.o)
$(BUILD)/guest/stepcost: $(call guest-obj,stepcost.o guest_util.o)
$(BUILD)/guest/redisload: $(call guest-obj,redisload.o guest_util.o)
$(BUILD)/guest/keys: $(call guest-obj,keys.o)
$(BUILD)/guest/netload: $(call guest-obj,netload.o netload_tcp.o netload_udp.o guest_util.o)
$(BUILD)/guest/hold: $(call guest-obj,hold.o)
$(BUILD)/guest/chain: $(call guest-obj,chain.o guest_util.o)
$(BUILD)/guest/pour: $(call guest-obj,pour.o)
$(BUILD)/guest/pacer: $(call guest-obj,pacer.o guest_util.o)
$(BUILD)/guest/equal: $(call guest-obj,equal.o)
$(BUILD)/guest/writer: $(call guest-obj,writer.o guest_util.o)
$(BUILD)/guest/diskload: $(call guest-obj,diskload.o guest_util.o)
$(BUILD)/guest/edu: $(call guest-obj,edu.o guest_util.o)
$(BUILD)/guest/ask: $(call guest-obj,ask.o guest_util.o)
$(BUILD)/guest/switchcost: $(call guest-obj,switchcost.o guest_util.o)
GUEST_PORTFUZZ_OBJ := $(call guest-obj,portfuzz.o portfuzz_insn.o portfuzz_judge.o portfuzz_model.o portfuzz_snapshot.o \
		      portfuzz_watch.o guest_util.o)
$(BUILD)/guest/portfuzz: $(GUEST_PORTFUZZ_OBJ) $(call guest-obj,portfuzz_access.o)
$(BUILD)/guest-test/portfuzz_mock: $(GUEST_PORTFUZZ_OBJ) $(call guest-obj,portfuzz_mock.o)

$(GUEST_PROGRAMS) $(BUILD)/guest-test/portfuzz_mock:
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_LDFLAGS) $^ -o $@

define guest32-compile
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST32_CFLAGS) -MMD -MP -c $< -o $@
endef
$(BUILD)/guest-i386-obj/%.o: $(GUEST_DIR)/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 -march=i686 $(GUEST_CFLAGS) -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -MMD -MP -c $< -o $@

$(BUILD)/guest-i386/load: $(addprefix $(BUILD)/guest-i386-obj/,load.o load_churn.o load_pair.o load_pattern.o load_region.o load_ring.o load_time.o)
$(BUILD)/guest-i386/work: $(BUILD)/guest-i386-obj/work_around.o
$(BUILD)/guest-i386/%: $(BUILD)/guest-i386-obj/%.o $(BUILD)/guest-i386-obj/guest_util.o
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 $(GUEST_LDFLAGS) $^ -o $@

$(BUILD)/guest-obj/%.c.o: $(GUEST_DIR)/%.c
	$(guest32-compile)
$(BUILD)/guest-obj/%.S.o: $(GUEST_DIR)/%.S
	$(guest32-compile)

$(BUILD)/guest-image/multiboot_guest.elf: $(call guest32-obj,multiboot_guest)
$(BUILD)/guest-image/paging_guest.elf: $(call guest32-obj,paging_guest)
$(BUILD)/guest-image/x2apic_guest.elf: $(call guest32-obj,x2apic_guest)
$(GUEST_IMAGES): $(GUEST_DIR)/kernel/link.ld
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 -nostdlib -static -Wl,--build-id=none,-s,-T,$(GUEST_DIR)/kernel/link.ld $(filter %.o,$^) -o $@

guest-build: $(GUEST_PROGRAMS) $(GUEST_I386_PROGRAMS) $(BUILD)/guest-i386/scrimctl $(GUEST_IMAGES)

# A test of a test: it gives up every right to a port, so its instructions fault and reach none.
guest-test: $(BUILD)/guest-test/portfuzz_mock ## the fuzzer of the port against mocks that keep or break the ABI
	$(Q)$(GUEST_DIR)/portfuzz_mock_test.sh $<
.PHONY: guest-build guest-test
-include $(wildcard $(BUILD)/guest-obj/*.d $(BUILD)/guest-obj/*/*.d $(BUILD)/guest-i386-obj/*.d)
