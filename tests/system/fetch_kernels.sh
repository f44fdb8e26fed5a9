#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Downloads Debian's kernel packages (never installs them) and unpacks what the tests boot:
#   [MODULES="NAME..."] fetch_kernels.sh DIRECTORY NAME=METAPACKAGE...
# leaves DIRECTORY/vmlinuz-NAME, config-NAME, version-NAME and modules-NAME/ with the few modules that tests load.
# The package's own digest is checked by apt.
set -eu

modules=${MODULES-efivarfs msr}

directory=$1
shift
mkdir -p "$directory"

# The metapackage depends on exactly one image package, whose name carries the version.
image_package() {
	apt-cache depends "$1" | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
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
	rm -rf "$directory/modules-$name"
	mkdir "$directory/modules-$name"
	for module in $modules; do
		find "$work/tree/lib/modules" -name "$module.ko" -exec cp {} "$directory/modules-$name/" ';'
	done
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
