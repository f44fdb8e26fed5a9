#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Downloads what 32-bit test machines need from Debian's i386 archive, without making i386 an architecture of this host:
#   fetch_i386.sh DIRECTORY NAME=METAPACKAGE...
# leaves in DIRECTORY what fetch_kernels.sh leaves for each kernel, and in DIRECTORY/i386 a static busybox and the libraries
# for a 32-bit scrimctl, whose headers are those of the host's libjansson-dev and libzstd-dev.
set -eu

here=$(dirname "$0")
directory=$1
shift
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
work=$(mktemp -d "$directory/i386.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/packages"
. "$here/apt_root.sh"
apt_root "$work" i386

MODULES='' KVM_MODULES='' sh "$here/fetch_kernels.sh" "$directory" "$@"
(cd "$work/packages" && apt-get -qq download busybox-static libjansson-dev libzstd-dev)
for package in "$work"/packages/*.deb; do
	dpkg-deb -x "$package" "$work/tree"
done
mkdir -p "$work/i386"
cp "$work/tree/bin/busybox" "$work/i386/busybox"
cp "$work/tree/usr/lib/i386-linux-gnu/libjansson.a" "$work/tree/usr/lib/i386-linux-gnu/libzstd.a" "$work/i386/"
rm -rf "$directory/i386"
mv "$work/i386" "$directory/i386"
echo "fetched busybox-static, libjansson-dev and libzstd-dev for i386"
