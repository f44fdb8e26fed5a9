# SPDX-License-Identifier: BSD-2-Clause
# Tests that boot whole machines, and the run of all tests. How to add one: tests/system/README.md.
INITRAMFS := $(BUILD)/images/initramfs.cpio.gz
RUN_TESTS := BUILD=$(BUILD) python3 tests/run.py

# Always looks: what goes in is what happens to be built. Unchanged content leaves the file as it is.
.PHONY: initramfs
initramfs:
	python3 tests/system/initramfs/build.py $(BUILD)

# Setup comes first and alone: what follows needs the packages that it installs.
.PHONY: test-parts
test-parts: setup
	$(MAKE) --no-print-directory all unit-build guest-build broken
	$(MAKE) --no-print-directory initramfs
	$(MAKE) --no-print-directory deb

# All tests in about half an hour on two cores.
.PHONY: test
test: test-parts
	$(RUN_TESTS)

# What reads an image of the full kernel by its debug symbols, for the long run alone: 870 MB come over the net.
SOAK_VMLINUX := $(BUILD)/images/vmlinux-full
SOAK_CRASH := $(BUILD)/images/crash

$(SOAK_VMLINUX): tests/system/fetch_debug.sh $(SETUP_STAMP)
	sh tests/system/fetch_debug.sh $(BUILD)/images full
	@touch $@

$(SOAK_CRASH): tests/system/fetch_crash.sh tests/system/apt_root.sh $(SETUP_STAMP)
	$(SETUP_APT) -qq -y --no-install-recommends install crash
	sh tests/system/fetch_crash.sh $(BUILD)/images
	@touch $@

.PHONY: soak-parts
soak-parts: test-parts
	$(MAKE) --no-print-directory $(SOAK_VMLINUX) $(SOAK_CRASH)

# All tests with full matrices and figures: hours.
.PHONY: soak
soak: soak-parts
	$(RUN_TESTS) --soak

# System tests by name: make system-test FILTER=boot
.PHONY: system-test
system-test: test-parts
	$(RUN_TESTS) --filter 'system/.*$(FILTER)'
