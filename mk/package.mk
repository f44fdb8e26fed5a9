# SPDX-License-Identifier: BSD-2-Clause
# `make install` puts Scrim where a Debian has such things, below DESTDIR; `make deb` makes a package of that (debian/).
DEB_VERSION = $(shell sed -n '1 s/.*(\(.*\)).*/\1/p' debian/changelog)
DEB = $(BUILD)/scrim_$(DEB_VERSION)_amd64.deb
UNITS := $(wildcard packaging/*.service packaging/*.timer tools/rasdaemon/*.service)
PACKAGED := $(addprefix debian/,changelog control copyright rules postinst postrm source/format scrim.lintian-overrides) \
	    packaging/grub.d/20_linux_scrim packaging/default/scrim packaging/completion/scrimctl docs/man/scrim.7 docs/man/scrimctl.8 tools/rasdaemon/scrim-retire-ce $(UNITS)

.PHONY: install deb
install: all ## put what was built into a Debian's places below DESTDIR
	$(Q)install -D -m 644 $(BUILD)/scrim.elf $(DESTDIR)/boot/scrim.elf
	$(Q)install -D -m 755 $(BUILD)/scrimctl $(DESTDIR)/usr/sbin/scrimctl
	$(Q)install -D -m 755 packaging/grub.d/20_linux_scrim $(DESTDIR)/etc/grub.d/20_linux_scrim
	$(Q)install -D -m 644 packaging/default/scrim $(DESTDIR)/etc/default/scrim
	$(Q)install -D -m 644 packaging/completion/scrimctl $(DESTDIR)/usr/share/bash-completion/completions/scrimctl
	$(Q)install -D -m 755 tools/rasdaemon/scrim-retire-ce $(DESTDIR)/usr/lib/scrim/scrim-retire-ce
	$(Q)install -D -m 644 docs/man/scrim.7 $(DESTDIR)/usr/share/man/man7/scrim.7
	$(Q)install -D -m 644 docs/man/scrimctl.8 $(DESTDIR)/usr/share/man/man8/scrimctl.8
	$(Q)$(foreach unit,$(UNITS),install -D -m 644 $(unit) $(DESTDIR)/lib/systemd/system/$(notdir $(unit));)

deb: $(SETUP_STAMP) ## build/scrim_VERSION_amd64.deb, with entries for GRUB's menu, for `apt install`
	$(Q)$(MAKE) --no-print-directory -s all
	$(Q)$(MAKE) --no-print-directory -s $(DEB)

# debhelper works within debian/; what it leaves there is not part of the tree (.gitignore).
$(BUILD)/scrim_%_amd64.deb: $(BUILD)/scrim.elf $(BUILD)/scrimctl $(PACKAGED) mk/package.mk
	@echo "  DEB   $@"
	$(Q)BUILD=$(BUILD) PACKAGES=$(BUILD) dpkg-buildpackage --no-sign --rules-target=binary >$(BUILD)/deb.log 2>&1 || { cat $(BUILD)/deb.log >&2; exit 1; }
