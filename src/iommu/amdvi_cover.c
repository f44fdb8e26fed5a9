/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns nothing. Looks at all buses: a machine has as many roots as it has units, or more. A device has a function 0 if it has any.
 * Bridges, those to the host too, write no memory that is not asked of them, and firmware's table leaves some out; it leaves out the units.
 */
#include "iommu/amdvi_cover.h"

#include "hw/pci.h"

#define BUSES 256u
#define DEVICES 32u
#define FUNCTIONS 8u
#define CLASS_HOST_BRIDGE 0x0600u
#define CLASS_PCI_BRIDGE 0x0604u
#define CLASS_IOMMU 0x0806u

static bool may_write(uint8_t bus, uint8_t function)
{
	uint32_t class = pci_class(bus, function);

	return class != CLASS_HOST_BRIDGE && class != CLASS_PCI_BRIDGE && class != CLASS_IOMMU;
}

bool amdvi_covers(const struct ivrs *ivrs, uint32_t *function)
{
	for (uint32_t id = 0; id < BUSES * DEVICES * FUNCTIONS; id++) {
		uint8_t bus = (uint8_t)(id / (DEVICES * FUNCTIONS)), in_bus = (uint8_t)id;

		if (!pci_is_there(bus, in_bus)) {
			id |= id % FUNCTIONS == 0 ? FUNCTIONS - 1 : 0;
			continue;
		}
		if (ivrs_is_behind(ivrs, id) || !may_write(bus, in_bus))
			continue;
		*function = id;
		return false;
	}
	return true;
}
