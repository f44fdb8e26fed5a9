/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the reading of a multiboot 1 kernel (Multiboot Specification 0.6.96, 3.1): where its pieces lie in the file and
 * in memory, from the header's own address fields or else from an ELF program header table. ELF64 files are taken as
 * GRUB takes them: entered in 32-bit mode all the same, all of them below 4 GiB.
 */
#include "boot/elf_format.h"
#include "boot/guest_image_parts.h"
#include "boot/multiboot1_format.h"
#include "base/bytes.h"
#include "base/str.h"

/* What both ELF classes say, in the wider one's types. */
struct elf_file {
	const uint8_t *image;
	uint64_t bytes;
	bool is_64bit;
	uint64_t entry;
	uint64_t phoff;
	uint32_t phnum, phentsize;
};

struct elf_load {
	uint32_t type;
	uint64_t vaddr;
	struct guest_segment segment;
};

int64_t multiboot1_image_find_header(const uint8_t *image, uint64_t bytes)
{
	uint64_t end = bytes < MB1_HEADER_SEARCH ? bytes : MB1_HEADER_SEARCH;

	for (uint32_t at = 0; at + 12u <= end; at += 4) {
		uint32_t magic = load_u32(image + at);
		uint32_t flags = load_u32(image + at + 4);
		uint32_t checksum = load_u32(image + at + 8);

		if (magic == MB1_HEADER_MAGIC && magic + flags + checksum == 0)
			return at;
	}
	return -1;
}

static const char *segment_check(const struct guest_segment *segment, uint64_t image_bytes)
{
	if (segment->file_offset > image_bytes || segment->file_bytes > image_bytes - segment->file_offset)
		return "The multiboot kernel is shorter than its headers say: the file is cut short; copy it again";
	if (segment->file_bytes > segment->memory_bytes)
		return "The multiboot kernel has a segment larger in the file than in memory: the file is damaged";
	if (segment->memory_bytes > GIB(4) || segment->address > GIB(4) - segment->memory_bytes)
		return "The multiboot kernel wants to lie above 4 GiB, out of reach of its 32-bit entry: use another kernel";
	return NULL;
}

/* 3.1.3: the header says where it lies itself, from which the place of the first byte to load follows. */
static const char *parse_addresses(const uint8_t *image, uint64_t bytes, uint32_t header_offset,
				   struct guest_image *out)
{
	const struct mb1_header *header = (const void *)(image + header_offset);
	struct guest_segment *segment = &out->segment[0];

	if (bytes - header_offset < sizeof(*header))
		return "The multiboot kernel ends within its header: the file is cut short; copy it again";
	if (header->load_addr > header->header_addr || header->header_addr - header->load_addr > header_offset)
		return "The multiboot header's load address does not fit the file: the file is damaged; copy it again";
	segment->address = header->load_addr;
	segment->file_offset = header_offset - (header->header_addr - header->load_addr);
	segment->file_bytes = bytes - segment->file_offset;
	if (header->load_end_addr != 0) {
		if (header->load_end_addr < header->load_addr)
			return "The multiboot header ends before it loads: the file is damaged; copy it again";
		segment->file_bytes = header->load_end_addr - header->load_addr;
	}
	segment->memory_bytes = segment->file_bytes;
	if (header->bss_end_addr != 0 && header->bss_end_addr > header->load_addr + segment->file_bytes)
		segment->memory_bytes = header->bss_end_addr - header->load_addr;
	out->segment_count = 1;
	out->entry = header->entry_addr;
	if (out->entry < segment->address || out->entry - segment->address >= segment->memory_bytes)
		return "The multiboot kernel's entry point is not in the part that is loaded: the file is damaged";
	return segment_check(segment, bytes);
}

static const char *elf_open(const uint8_t *image, uint64_t bytes, struct elf_file *out)
{
	const struct elf32_header *narrow = (const void *)image;
	const struct elf64_header *wide = (const void *)image;

	*out = (struct elf_file){ .image = image, .bytes = bytes };
	if (bytes < sizeof(*wide) || narrow->ident.magic != ELF_MAGIC || narrow->ident.data != ELF_DATA_LITTLE)
		return "The multiboot kernel has no load addresses and is no ELF file: use GRUB to boot it without Scrim";
	if (narrow->ident.file_class == ELF_CLASS_32 && narrow->machine == ELF_MACHINE_386) {
		out->entry = narrow->entry;
		out->phoff = narrow->phoff;
		out->phnum = narrow->phnum;
		out->phentsize = narrow->phentsize;
	} else if (narrow->ident.file_class == ELF_CLASS_64 && narrow->machine == ELF_MACHINE_X86_64) {
		out->is_64bit = true;
		out->entry = wide->entry;
		out->phoff = wide->phoff;
		out->phnum = wide->phnum;
		out->phentsize = wide->phentsize;
	} else {
		return "The multiboot kernel is an ELF file for another processor: use one for i386 or x86-64";
	}
	if (out->phentsize < (out->is_64bit ? sizeof(struct elf64_phdr) : sizeof(struct elf32_phdr)))
		return "The multiboot kernel's ELF program headers have a wrong size: the file is damaged; copy it again";
	if (out->phoff > bytes || (uint64_t)out->phnum * out->phentsize > bytes - out->phoff)
		return "The multiboot kernel's ELF program headers lie outside the file: the file is cut short";
	return NULL;
}

static struct elf_load elf_load_at(const struct elf_file *file, uint32_t index)
{
	const uint8_t *at = file->image + file->phoff + (uint64_t)index * file->phentsize;
	const struct elf32_phdr *narrow = (const void *)at;
	const struct elf64_phdr *wide = (const void *)at;

	if (file->is_64bit)
		return (struct elf_load){ wide->type, wide->vaddr,
					  { wide->offset, wide->filesz, wide->paddr, wide->memsz } };
	return (struct elf_load){ narrow->type, narrow->vaddr,
				  { narrow->offset, narrow->filesz, narrow->paddr, narrow->memsz } };
}

/* The entry point is a virtual address; paging is off, so it is entered at the physical one of the same byte. */
static const char *parse_elf(const uint8_t *image, uint64_t bytes, struct guest_image *out)
{
	struct elf_file file;
	const char *line = elf_open(image, bytes, &file);
	bool entered = false;

	for (uint32_t i = 0; line == NULL && i < file.phnum; i++) {
		struct elf_load load = elf_load_at(&file, i);

		if (load.type != ELF_PHDR_LOAD || load.segment.memory_bytes == 0)
			continue;
		if (out->segment_count == GUEST_SEGMENTS_MAX)
			return "The multiboot kernel has more than 8 segments: link it with fewer";
		if (!entered && file.entry >= load.vaddr && file.entry - load.vaddr < load.segment.memory_bytes) {
			out->entry = load.segment.address + (file.entry - load.vaddr);
			entered = true;
		}
		out->segment[out->segment_count++] = load.segment;
		line = segment_check(&load.segment, bytes);
	}
	if (line == NULL && !entered)
		line = "The multiboot kernel's entry point is in none of its segments: the file is damaged; copy it again";
	return line;
}

const char *multiboot1_image_parse(const uint8_t *image, uint64_t bytes, uint32_t header_offset,
				   struct guest_image *out)
{
	const uint32_t known = MB1_HEADER_PAGE_ALIGN | MB1_HEADER_MEMORY | MB1_HEADER_VIDEO;
	uint32_t flags = load_u32(image + header_offset + 4);

	out->kind = GUEST_MULTIBOOT1;
	out->multiboot_flags = flags;
	out->alignment = 1;
	out->initrd_max = GIB(4) - 1;
	out->cmdline_max = BOOT_CMDLINE_MAX - 1;
	/* 3.1.2: of the lower 16 flags, one that the loader does not understand is a refusal. */
	if ((flags & MB1_HEADER_REQUIRED & ~known) != 0)
		return "The multiboot kernel requires a feature that Scrim does not know: boot it without Scrim";
	if (flags & MB1_HEADER_ADDRESSES)
		return parse_addresses(image, bytes, header_offset, out);
	return parse_elf(image, bytes, out);
}
