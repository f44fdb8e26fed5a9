# SPDX-License-Identifier: BSD-2-Clause
# The demonstration. Like the tests it does its own set-up first, alone: what follows needs the packages.
.PHONY: demo demo-parts demo-record
demo-parts: setup
	$(Q)$(MAKE) --no-print-directory -s all guest-build
	$(Q)$(MAKE) --no-print-directory -s initramfs

demo: demo-parts ## Debian boots, memory is virtualized, moved, devirtualized under load: a story of about two minutes
	$(Q)BUILD=$(BUILD) python3 demo/demo.py

demo-record: demo-parts ## the same, written to docs/demo.txt and, its end, to README.md
	$(Q)BUILD=$(BUILD) python3 demo/demo.py --record docs/demo.txt
	$(Q)python3 docs/check_docs.py --embed
