/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the two ports while it runs. */
#include "hw/pci.h"

#include "hw/insn.h"

#define ADDRESS_PORT 0xcf8
#define DATA_PORT 0xcfc
#define ENABLE (1u << 31)

#define VENDOR_WORD 0x00u
#define CLASS_WORD 0x08u
#define HEADER_WORD 0x0cu
#define BUSES_WORD 0x18u
#define VENDOR_NONE 0xffffu
#define HEADER_TYPE(word) ((word) >> 16 & 0x7f) /* without the bit that says that there are more functions */
#define HEADER_BRIDGE 1u
#define SECONDARY_BUS(word) ((uint8_t)((word) >> 8))

uint32_t pci_read(uint8_t bus, uint8_t function, uint32_t offset)
{
	outl(ADDRESS_PORT, ENABLE | (uint32_t)bus << 16 | (uint32_t)function << 8 | offset);
	return inl(DATA_PORT);
}

uint16_t pci_class(uint8_t bus, uint8_t function)
{
	return (uint16_t)(pci_read(bus, function, CLASS_WORD) >> 16);
}

bool pci_is_there(uint8_t bus, uint8_t function)
{
	return (pci_read(bus, function, VENDOR_WORD) & 0xffff) != VENDOR_NONE;
}

uint8_t pci_bus_behind(uint8_t bus, uint8_t function)
{
	if (HEADER_TYPE(pci_read(bus, function, HEADER_WORD)) != HEADER_BRIDGE)
		return 0;
	return SECONDARY_BUS(pci_read(bus, function, BUSES_WORD));
}
