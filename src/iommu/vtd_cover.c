/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing. Goes down the buses from 0: a bridge's number is lower than that of the bus behind it. Bridges themselves write no memory that
 * is not asked of them; what is behind one that a unit names is covered with it.
 */
#include "iommu/vtd_cover.h"

#include "hw/pci.h"

#define BUSES 256u
#define FUNCTIONS 256u

enum reach { NOT_REACHED = 0, REACHED, COVERED };

/* The way leads over this machine's bridges to this function. */
static bool names(const struct dmar_scope *scope, uint8_t bus, uint8_t function)
{
	uint8_t at = scope->bus;

	for (uint32_t i = 0; i + 1 < scope->hops; i++)
		at = pci_bus_behind(at, scope->function[i]);
	return at == bus && scope->function[scope->hops - 1] == function;
}

static bool is_named(const struct dmar *dmar, uint8_t bus, uint8_t function, bool as_bridge)
{
	for (uint32_t i = 0; i < dmar->scope_count; i++)
		if ((!as_bridge || dmar->scope[i].all_below) && names(&dmar->scope[i], bus, function))
			return true;
	return false;
}

/* One function of a bus that is reached and not covered. */
static bool look_at(const struct dmar *dmar, uint8_t bus, uint8_t function, uint8_t *reach)
{
	uint8_t behind = pci_bus_behind(bus, function);

	if (!behind)
		return is_named(dmar, bus, function, false);
	reach[behind] = is_named(dmar, bus, function, true) ? COVERED : REACHED;
	return true;
}

bool vtd_covers(const struct dmar *dmar, uint32_t *function)
{
	uint8_t reach[BUSES] = { REACHED };

	for (uint32_t bus = 0; !dmar->covers_all && bus < BUSES; bus++)
		for (uint32_t i = 0; reach[bus] == REACHED && i < FUNCTIONS; i++) {
			*function = bus << 8 | i;
			if (pci_is_there((uint8_t)bus, (uint8_t)i) && !look_at(dmar, (uint8_t)bus, (uint8_t)i, reach))
				return false;
		}
	return true;
}
