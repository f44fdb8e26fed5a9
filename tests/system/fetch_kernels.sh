#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Downloads Debian's kernel packages (never installs them) and unpacks what the tests boot:
#   [MODULES="NAME..." KVM_MODULES="NAME..."] fetch_kernels.sh DIRECTORY NAME=METAPACKAGE...
# leaves DIRECTORY/vmlinuz-NAME, config-NAME, version-NAME, modules-NAME/ with the few modules that tests load, and kvm-NAME/
# with those of KVM, which stay out of the tests' initramfs.
# The package's own digest is checked by apt.
set -eu

modules=${MODULES-efivarfs msr e1000e}
kvm_modules=${KVM_MODULES-irqbypass ccp kvm kvm-amd}

directory=$1
shift
mkdir -p "$directory"

# The metapackage depends on exactly one image package, whose name carries the version.
image_package() {
	apt-cache depends "$1" | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

# Where a kernel lacks one (it may be built in, or not wanted there) none is copied.
copy_modules() {
	tree=$1
	to=$2
	shift 2
	rm -rf "$to"
	mkdir "$to"
	for module in "$@"; do
		find "$tree/lib/modules" -name "$module.ko" -exec cp {} "$to/" ';'
	done
}

unpack_kernel() {
	name=$1
	package=$2
	work=$(mktemp -d "$directory/unpack.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	# apt's sandbox user cannot write here; as root it says so and downloads all the same.
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package")
	dpkg-deb -x "$work"/*.deb "$work/tree"
	cp "$work"/tree/boot/config-* "$directory/config-$name"
	echo "${package#linux-image-}" >"$directory/version-$name"
	copy_modules "$work/tree" "$directory/modules-$name" $modules
	copy_modules "$work/tree" "$directory/kvm-$name" $kvm_modules
	cp "$work"/tree/boot/vmlinuz-* "$directory/vmlinuz-$name.new"
	mv "$directory/vmlinuz-$name.new" "$directory/vmlinuz-$name"
	rm -rf "$work"
	trap - EXIT
}

for pair in "$@"; do
	package=$(image_package "${pair#*=}")
	if [ -z "$package" ]; then
		echo "fetch_kernels: apt knows no package for ${pair#*=}; is this Debian 12 with its main archive?" >&2
		exit 1
	fi
	unpack_kernel "${pair%%=*}" "$package"
	echo "fetched $package"
done
