# Scrim. `make help` lists the targets.
.DEFAULT_GOAL := all
include mk/flags.mk
include mk/target.mk
include mk/tools.mk
include mk/host.mk
include mk/setup.mk
-include mk/guest.mk
include mk/system.mk

## all: build/scrim.elf and build/scrimctl (needs the packages of `make setup`)
.PHONY: all clean
all: $(BUILD)/scrim.elf $(BUILD)/scrimctl

## clean: remove build/
clean:
	rm -rf $(BUILD)

.SECONDARY:
