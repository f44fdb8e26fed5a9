# The VMM: freestanding, position-independent, general registers only (the FPU and vector state are always the OS's).
TARGET_CFLAGS := $(CSTD) -O2 -g $(WARNINGS) -Wframe-larger-than=1024 -ffreestanding -fno-builtin-printf -fpie \
		 -fvisibility=hidden -mgeneral-regs-only -mno-red-zone -fno-stack-protector -fno-strict-aliasing \
		 -fno-asynchronous-unwind-tables -fcf-protection=none -fno-jump-tables -ffunction-sections -Isrc -Iabi
TARGET_LDFLAGS := -nostdlib -static -Wl,-pie -Wl,--no-dynamic-linker -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		  -Wl,--build-id=none -Wl,--gc-sections -Wl,--orphan-handling=error -Wl,-T,src/main/scrim.ld
TARGET_SRC := $(sort $(foreach room,base hw mem xlat virt svm vmx iommu boot main,$(wildcard src/$(room)/*.c src/$(room)/*.S)))
TARGET_OBJ := $(patsubst %,$(BUILD)/target/%.o,$(TARGET_SRC)) $(BUILD)/target/font.o

$(BUILD)/target/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(TARGET_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/target/%.S.o: %.S
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(TARGET_CFLAGS) -MMD -MP -c $< -o $@

# What runs once at boot, or only in a panic, is to be small.
$(addprefix $(BUILD)/target/src/vmx/,vmx_audit.c.o vmx_audit_guest.c.o) $(filter $(BUILD)/target/src/boot/%.c.o,$(TARGET_OBJ)): TARGET_CFLAGS += -Os

# The framebuffer's font: Debian's own VGA console font, as it is (PSF1).
FONT ?= /usr/share/consolefonts/Lat15-VGA16.psf.gz
$(BUILD)/target/font.o: $(FONT) | $(BUILD)/target/dir
	gzip -dc $(FONT) > $(BUILD)/target/font.psf
	cd $(BUILD)/target && ld -r -b binary -z noexecstack -o font-raw.o font.psf && \
	objcopy --rename-section .data=.rodata,alloc,load,readonly,data,contents font-raw.o font.o

$(BUILD)/target/dir:
	@mkdir -p $(@D) && touch $@

$(BUILD)/scrim.elf: $(TARGET_OBJ) src/main/scrim.ld
	@echo "  LD    $@"
	$(Q)$(CC) $(TARGET_LDFLAGS) $(TARGET_OBJ) -o $(BUILD)/scrim.debug
	$(Q)objcopy --strip-debug $(BUILD)/scrim.debug $@

-include $(shell find $(BUILD)/target -name '*.d' 2>/dev/null)
