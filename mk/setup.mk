# SPDX-License-Identifier: BSD-2-Clause
# `make setup`: what a fresh Debian 12 lacks to build and test Scrim. Packages are installed by apt-get; the kernels that the
# tests boot are only downloaded and unpacked under $(BUILD)/images, never installed. A stamp named after the lists of
# packages makes a second run free. The disk that a real Debian is booted from is made once, and again when what makes it changes.
SETUP_BUILD := gcc gcc-multilib libc6-dev binutils make clang clang-tidy clang-format libclang-rt-14-dev libcmocka-dev libjansson-dev libzstd-dev spin \
	       python3 gawk git lcov universal-ctags libzydis-dev libxxhash-dev \
	       build-essential debhelper console-setup-linux
SETUP_MACHINE := qemu-system-x86 bochs bochs-term bochsbios vgabios ovmf grub-common grub-pc-bin grub-efi-amd64-bin xorriso mtools dosfstools busybox-static \
		 stress-ng kexec-tools cpio memtest86+ kmod xz-utils zstd \
		 memtester redis-server gdb \
		 debootstrap dpkg-dev ethtool fdisk e2fsprogs
SETUP_KERNELS := cloud=linux-image-cloud-amd64 full=linux-image-amd64
SETUP_KERNELS_I386 := 686=linux-image-686 686-pae=linux-image-686-pae

SETUP_SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
SETUP_APT := $(SETUP_SUDO) env DEBIAN_FRONTEND=noninteractive apt-get
SETUP_KEY := $(firstword $(shell echo '$(SETUP_BUILD) $(SETUP_MACHINE) $(SETUP_KERNELS) $(SETUP_KERNELS_I386)' | sha256sum))
SETUP_STAMP := $(BUILD)/setup-$(SETUP_KEY).stamp

$(SETUP_STAMP): mk/setup.mk tests/system/fetch_kernels.sh tests/system/fetch_i386.sh tests/system/apt_root.sh
	@mkdir -p $(@D)
	$(SETUP_APT) -qq update
	$(SETUP_APT) -qq -y --no-install-recommends install $(SETUP_BUILD) $(SETUP_MACHINE)
	sh tests/system/fetch_kernels.sh $(BUILD)/images $(SETUP_KERNELS)
	sh tests/system/fetch_i386.sh $(BUILD)/images $(SETUP_KERNELS_I386)
	@rm -f $(BUILD)/setup-*.stamp
	@touch $@

DEBIAN_DISK := $(BUILD)/images/debian/disk.raw
$(DEBIAN_DISK): tests/system/initramfs/agent $(shell find tests/system/debian -type f) | $(SETUP_STAMP)
	$(SETUP_SUDO) sh tests/system/debian/make_disk.sh $(@D)

.PHONY: setup
setup: $(SETUP_STAMP) $(DEBIAN_DISK)
