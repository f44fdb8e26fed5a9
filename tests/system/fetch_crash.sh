#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Downloads Debian 13's crash with the libraries that it needs, and installs nothing: fetch_crash.sh DIRECTORY leaves their tree
# in DIRECTORY/crash, to be run by the loader in it. Debian 12's crash lists with `ps` none but the tasks that CPUs run. 14 MB.
set -eu

here=$(dirname "$0")
directory=$(cd "$1" && pwd)
work=$(mktemp -d "$directory/crash.XXXXXX")
trap 'rm -rf "$work"' EXIT
. "$here/apt_root.sh"
apt_root "$work" "$(dpkg --print-architecture)" trixie

apt-get -qq -y --download-only --no-install-recommends install crash
for package in "$work"/cache/archives/*.deb; do
	dpkg-deb -x "$package" "$work/tree"
done
rm -rf "$directory/crash"
mv "$work/tree" "$directory/crash"
echo "fetched crash of Debian 13"
