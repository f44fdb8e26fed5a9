# SPDX-License-Identifier: BSD-2-Clause
# What is checked without running anything: layers, headers, documents against the code, and a second compiler.
LAYERS_STAMP := $(BUILD)/layers.stamp

# Part of every build: the rooms, the form of headers, the length of functions (mk/layers.txt).
$(LAYERS_STAMP): mk/check_layers.py mk/layers.txt $(shell find src -type f)
	@mkdir -p $(@D)
	$(Q)python3 mk/check_layers.py
	@touch $@

.PHONY: layers lint lint-documents
layers: $(LAYERS_STAMP)

lint-documents:
	$(Q)python3 docs/check_docs.py

lint: layers lint-documents ## layers, headers, documents against the code, and all of it compiled by clang
	$(Q)python3 mk/check_layers.py --headers gcc
	$(Q)python3 mk/check_layers.py --headers clang
	$(Q)$(MAKE) $(if $(findstring -j,$(MAKEFLAGS)),,-j2) --no-print-directory -s BUILD=$(BUILD)/clang CC=clang all unit-build
	@echo "lint: no complaint"
