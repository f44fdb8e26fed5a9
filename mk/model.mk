# SPDX-License-Identifier: BSD-2-Clause
# Spin's models (tests/model/). MODEL_FLAGS=--soak: the larger scope, which takes about 3 GB of memory.
MODEL_FLAGS ?=

.PHONY: model
model: ## every interleaving of a page's move with a device and a CPU, by Spin
	$(Q)python3 tests/model/check.py $(BUILD)/model $(MODEL_FLAGS)
