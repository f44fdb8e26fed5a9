# scrimctl, a static Linux program, and its unit tests, which link it with a fake machine.
SCRIMCTL_SRC := $(wildcard tools/scrimctl/*.c)
SCRIMCTL_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(SCRIMCTL_SRC))
SCRIMCTL_TEST_SRC := $(filter-out tools/scrimctl/main.c,$(SCRIMCTL_SRC)) $(wildcard tests/unit/scrimctl/*.c)
SCRIMCTL_TEST_OBJ := $(patsubst %.c,$(BUILD)/unit/obj/%.o,$(SCRIMCTL_TEST_SRC))

$(BUILD)/obj/tools/scrimctl/%.o: tools/scrimctl/%.c
	@mkdir -p $(@D)
	$(CC) $(CSTD) -D_GNU_SOURCE -O2 $(WARNINGS) -Iabi -MMD -MP -c $< -o $@

$(BUILD)/scrimctl: $(SCRIMCTL_OBJ)
	$(CC) -static -pthread $^ -ljansson -lzstd -o $@

# For the tests' i386 kernels: the libraries are those of the i386 archive (tests/system/fetch_i386.sh), the headers are the host's.
SCRIMCTL_I386_OBJ := $(patsubst %.c,$(BUILD)/obj-i386/%.o,$(SCRIMCTL_SRC))

$(BUILD)/obj-i386/tools/scrimctl/%.o: tools/scrimctl/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 -march=i686 $(CSTD) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -O2 $(WARNINGS) -Iabi -MMD -MP -c $< -o $@

$(BUILD)/guest-i386/scrimctl: $(SCRIMCTL_I386_OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 -static -pthread -Wl,-s $^ $(addprefix $(BUILD)/images/i386/,libjansson.a libzstd.a) -o $@

$(SCRIMCTL_TEST_OBJ): UNIT_CFLAGS += -D_GNU_SOURCE -Itools/scrimctl

$(BUILD)/unit/test_scrimctl: $(SCRIMCTL_TEST_OBJ)
	$(CC) $(UNIT_SAN) $^ -pthread -lcmocka -ljansson -lzstd -o $@

scrimctl: $(BUILD)/scrimctl

# Not found by the pattern in host.mk, since it links other sources.
unit-build: $(BUILD)/unit/test_scrimctl

.PHONY: scrimctl
-include $(SCRIMCTL_OBJ:.o=.d) $(SCRIMCTL_I386_OBJ:.o=.d)
