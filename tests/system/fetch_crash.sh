#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Downloads Debian 13's crash with the libraries that it needs, and installs nothing: fetch_crash.sh DIRECTORY leaves their tree
# in DIRECTORY/crash, to be run by the loader in it. Debian 12's crash lists with `ps` none but the tasks that CPUs run.
# apt is given a root of its own, with this host's own mirror; it checks signatures and digests as ever. 14 MB.
set -eu

directory=$(cd "$1" && pwd)
work=$(mktemp -d "$directory/crash.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
: >"$work/status"

# The archive is the one that the host has its main component from; some hosts list it more than once.
apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
	awk '$2 !~ /-/ && $3 == "main" { print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $1, "trixie main"; exit }' \
		>"$work/sources"
if [ ! -s "$work/sources" ]; then
	echo "fetch_crash: apt has no Debian archive with a component main; add it to /etc/apt/sources.list and run apt-get update" >&2
	exit 1
fi
cat >"$work/apt.conf" <<-END
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
apt-get -qq -y --download-only --no-install-recommends install crash
for package in "$work"/cache/archives/*.deb; do
	dpkg-deb -x "$package" "$work/tree"
done
rm -rf "$directory/crash"
mv "$work/tree" "$directory/crash"
echo "fetched crash of Debian 13"
