#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Downloads what 32-bit test machines need from Debian's i386 archive, without making i386 an architecture of this host:
#   fetch_i386.sh DIRECTORY NAME=METAPACKAGE...
# leaves in DIRECTORY what fetch_kernels.sh leaves for each kernel, and in DIRECTORY/i386 a static busybox and the libraries
# for a 32-bit scrimctl, whose headers are those of the host's libjansson-dev and libzstd-dev.
# apt is given a root of its own, with this host's own mirror; it checks signatures and digests as ever.
set -eu

here=$(dirname "$0")
directory=$1
shift
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
work=$(mktemp -d "$directory/i386.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/packages"
: >"$work/status"

# The archive with the kernels is the one that the host has its main component from; some hosts list it more than once.
apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
	awk '$2 !~ /-/ && $3 == "main" { print "deb [arch=i386 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $1, $2, $3; exit }' \
		>"$work/sources"
if [ ! -s "$work/sources" ]; then
	echo "fetch_i386: apt has no Debian archive with a component main; add it to /etc/apt/sources.list and run apt-get update" >&2
	exit 1
fi
cat >"$work/apt.conf" <<-END
	APT::Architecture "i386";
	APT::Architectures "i386";
	Dir::State "$work/state";
	Dir::State::status "$work/status";
	Dir::Cache "$work/cache";
	Dir::Etc::sourcelist "$work/sources";
	Dir::Etc::sourceparts "-";
	APT::Sandbox::User "root";
	Acquire::Languages "none";
END
export APT_CONFIG="$work/apt.conf"
apt-get -qq update

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
