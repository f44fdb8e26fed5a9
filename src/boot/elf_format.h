/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the byte layouts of ELF files (System V ABI, edition 4.1, chapters 4 and 5; ELF-64 1.5) that are loaded. */
#pragma once

#include "base/types.h"

#define ELF_MAGIC 0x464c457fu
#define ELF_CLASS_32 1u
#define ELF_CLASS_64 2u
#define ELF_DATA_LITTLE 1u
#define ELF_MACHINE_386 3u
#define ELF_MACHINE_X86_64 62u
#define ELF_PHDR_LOAD 1u

struct elf_ident {
	uint32_t magic;
	uint8_t file_class, data, version, padding[9];
} PACKED;

struct elf32_header {
	struct elf_ident ident;
	uint16_t type, machine;
	uint32_t version, entry, phoff, shoff, flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
} PACKED;

struct elf64_header {
	struct elf_ident ident;
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
} PACKED;

struct elf32_phdr {
	uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
} PACKED;

struct elf64_phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
} PACKED;

_Static_assert(sizeof(struct elf_ident) == 16, "System V ABI, ELF identification");
_Static_assert(sizeof(struct elf32_header) == 52, "System V ABI, ELF header");
_Static_assert(sizeof(struct elf64_header) == 64, "ELF-64, file header");
_Static_assert(sizeof(struct elf32_phdr) == 32, "System V ABI, program header");
_Static_assert(sizeof(struct elf64_phdr) == 56, "ELF-64, program header");
