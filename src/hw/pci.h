/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the reading of PCI configuration space, segment 0, by the two ports (PCI Local Bus Specification 3.0, 3.2.2.3.2). Boot only: the ports are the OS's later. */
#pragma once

#include "base/types.h"

/* `function`: device << 3 | function. */

/* 32 bits of its configuration space; `offset`: less than 256, a multiple of 4. */
uint32_t pci_read(uint8_t bus, uint8_t function, uint32_t offset);

/* Its class and subclass. */
uint16_t pci_class(uint8_t bus, uint8_t function);

/* A function answers there. */
bool pci_is_there(uint8_t bus, uint8_t function);

/* It is a bridge to another PCI bus: its number, else 0. */
uint8_t pci_bus_behind(uint8_t bus, uint8_t function);
