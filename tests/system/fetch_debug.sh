#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Downloads the debug symbols of a kernel that fetch_kernels.sh has fetched (never installs them): fetch_debug.sh DIRECTORY NAME leaves
# DIRECTORY/vmlinux-NAME, as crash wants it. Some 300 MB come over the net, and 600 MB stay.
set -eu

directory=$1
name=$2
package="linux-image-$(cat "$directory/version-$name")-dbg"
work=$(mktemp -d "$directory/unpack.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package"); then
	echo "fetch_debug: apt has no $package: the archive has gone on to another kernel; remove $directory and run make setup again" >&2
	exit 1
fi
dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" --wildcards './usr/lib/debug/boot/vmlinux-*'
mv "$work"/usr/lib/debug/boot/vmlinux-* "$directory/vmlinux-$name"
echo "fetched $package"
