# SPDX-License-Identifier: BSD-2-Clause
# Figures for people; the tests hold the bars.
.PHONY: bench
bench: test-parts ## what a switch costs: instructions, exits, flushes, kicks, by CPUs and memory
	$(Q)BUILD=$(BUILD) python3 bench/switch.py
