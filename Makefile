# Scrim. `make help` lists the targets.
.DEFAULT_GOAL := all
include mk/flags.mk
include mk/target.mk
include mk/broken.mk
include mk/tools.mk
include mk/host.mk
include mk/coverage.mk
include mk/setup.mk
-include mk/guest.mk
-include mk/fuzz.mk
include mk/model.mk
include mk/system.mk
include mk/lint.mk
include mk/package.mk
include mk/demo.mk
-include mk/bench.mk

.SECONDARY:

# The targets for people. What they do stands in mk/; what is said of them here, or beside them, is what `make help` prints.
.PHONY: all help clean
all: layers $(BUILD)/scrim.elf $(BUILD)/scrimctl ## build/scrim.elf and build/scrimctl (the default)
setup: ## install what a fresh Debian 12 lacks, download the kernels that are booted, make a Debian's disk
test: ## all tests: set-up, lint, unit, fuzz, model and whole machines; about half an hour on two cores
soak: ## all tests with full matrices and figures: hours
system-test: ## system tests by name: make system-test FILTER=boot
unit-build: ## the unit tests, under ASan and UBSan
guest-build: ## the programs that run inside the tests' machines
clean: ## remove what was built; downloaded kernels stay
	rm -rf $(addprefix $(BUILD)/,target obj obj-i386 unit clang guest guest-obj guest-i386 guest-i386-obj guest-image guest-test tests layers.stamp scrim.elf scrim.debug scrimctl)

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | sort | \
		while IFS='	' read -r target text; do printf '  %-14s %s\n' "$$target" "$$text"; done
	@echo "  V=1 shows the commands; CC=clang and BUILD=DIR choose compiler and place."
