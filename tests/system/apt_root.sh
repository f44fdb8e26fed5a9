# SPDX-License-Identifier: BSD-2-Clause
# Sourced: apt_root DIRECTORY ARCHITECTURE [SUITE] gives apt a root of its own in DIRECTORY, with this host's own mirror, of another architecture or suite
# than the host's (SUITE: the host's own when left out), and reads the lists. apt checks signatures and digests as ever. Sets APT_CONFIG.
apt_root() {
	mkdir -p "$1/state/lists/partial" "$1/cache/archives/partial"
	: >"$1/status"
	# The archive is the one that the host has its main component from; some hosts list it more than once.
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
		awk -v architecture="$2" -v suite="${3-}" '$2 !~ /-/ && $3 == "main" {
			print "deb [arch=" architecture " signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $1, suite ? suite : $2, $3; exit }' \
			>"$1/sources"
	if [ ! -s "$1/sources" ]; then
		echo "${0##*/}: apt has no Debian archive with a component main; add it to /etc/apt/sources.list and run apt-get update" >&2
		exit 1
	fi
	cat >"$1/apt.conf" <<-END
		APT::Architecture "$2";
		APT::Architectures "$2";
		Dir::State "$1/state";
		Dir::State::status "$1/status";
		Dir::Cache "$1/cache";
		Dir::Etc::sourcelist "$1/sources";
		Dir::Etc::sourceparts "-";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
	END
	export APT_CONFIG="$1/apt.conf"
	apt-get -qq update
}
