#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Downloads Debian's Xen (never installs it): fetch_xen.sh DIRECTORY leaves DIRECTORY/xen, the hypervisor as a multiboot 1
# image, and DIRECTORY/xen-version. The package's own digest is checked by apt.
set -eu

directory=$1
package=xen-hypervisor-4.17-amd64
work=$(mktemp -d "$directory/unpack.XXXXXX")
trap 'rm -rf "$work"' EXIT
# apt's sandbox user cannot write here; as root it says so and downloads all the same.
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package")
dpkg-deb -f "$work"/*.deb Version >"$directory/xen-version"
dpkg-deb -x "$work"/*.deb "$work/tree"
gzip -dc "$work"/tree/boot/xen-*-amd64.gz >"$directory/xen.new"
mv "$directory/xen.new" "$directory/xen"
echo "fetched $package"
