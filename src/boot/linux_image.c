/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the reading of a bzImage's setup header (Linux Documentation/x86/boot.rst). The image is one segment: what
 * follows the real-mode setup sectors, entered at its first byte by the 32-bit boot protocol.
 */
#include "boot/guest_image_parts.h"
#include "boot/linux_format.h"
#include "base/str.h"

#define SETUP_SECTS_DEFAULT 4u /* boot.rst: 0 means 4, for backwards compatibility */
#define ADDRESS_DEFAULT MIB(1)

bool linux_image_recognize(const uint8_t *image, uint64_t bytes)
{
	const struct linux_setup_header *header = (const void *)(image + LINUX_HEADER_OFFSET);

	return bytes >= LINUX_HEADER_OFFSET + sizeof(*header) && header->boot_flag == LINUX_BOOT_FLAG &&
	       header->magic == LINUX_MAGIC;
}

static const char *linux_header_check(const struct linux_setup_header *header, uint64_t payload_offset, uint64_t bytes)
{
	if (header->version < LINUX_PROTOCOL_CMDLINE_SIZE)
		return "The Linux image's boot protocol is older than 2.06 (Linux 2.6.22): use a newer kernel";
	if (!(header->loadflags & LINUX_LOADED_HIGH))
		return "The Linux image is a zImage, loaded below 1 MiB: build it as a bzImage";
	if (payload_offset >= bytes)
		return "The Linux image ends within its setup code: the file is cut short; copy it again";
	/* syssize is rounded up to 16 bytes, which the file need not be. */
	if ((uint64_t)header->syssize * 16 >= bytes - payload_offset + 16)
		return "The Linux image is shorter than its header says: the file is cut short; copy it again";
	if (header->relocatable_kernel && (header->kernel_alignment & (header->kernel_alignment - 1)) != 0)
		return "The Linux image asks for an alignment that is no power of two: the file is damaged; copy it again";
	return NULL;
}

/* Where it would like to lie and how much it needs there, said by the image from protocol 2.10 on. */
static void linux_image_set_place(const struct linux_setup_header *header, struct guest_image *out)
{
	struct guest_segment *segment = &out->segment[0];

	if (header->version >= LINUX_PROTOCOL_INIT_SIZE) {
		segment->address = header->pref_address;
		out->init_bytes = header->init_size;
		if (out->init_bytes < segment->file_bytes)
			out->init_bytes = segment->file_bytes;
	} else {
		segment->address = ADDRESS_DEFAULT;
		/* Unpacking in place needs the packed and the unpacked image; boot loaders allow for three times. */
		out->init_bytes = segment->file_bytes * 3;
	}
	if (out->relocatable)
		segment->address = align_up(segment->address, out->alignment);
	segment->memory_bytes = segment->file_bytes; /* Linux clears its own BSS */
}

const char *linux_image_parse(const uint8_t *image, uint64_t bytes, struct guest_image *out)
{
	const struct linux_setup_header *header = (const void *)(image + LINUX_HEADER_OFFSET);
	uint32_t sectors = header->setup_sects != 0 ? header->setup_sects : SETUP_SECTS_DEFAULT;
	uint64_t payload_offset = (sectors + 1u) * LINUX_SECTOR_BYTES;
	const char *line = linux_header_check(header, payload_offset, bytes);

	if (line != NULL)
		return line;
	out->kind = GUEST_LINUX;
	out->protocol = header->version;
	out->relocatable = header->relocatable_kernel != 0;
	out->alignment = PAGE_SIZE;
	if (out->relocatable && header->kernel_alignment > PAGE_SIZE)
		out->alignment = header->kernel_alignment;
	out->initrd_max = header->initrd_addr_max;
	out->cmdline_max = header->cmdline_size;
	out->segment_count = 1;
	out->segment[0].file_offset = payload_offset;
	out->segment[0].file_bytes = bytes - payload_offset;
	if (header->version >= LINUX_PROTOCOL_INIT_SIZE && header->pref_address >= GIB(4))
		return "The Linux image wants to lie above 4 GiB, out of reach of its 32-bit entry: use another kernel";
	linux_image_set_place(header, out);
	if (out->init_bytes >= GIB(4))
		return "The Linux image needs more than 4 GiB to start: the file is damaged; copy it again";
	return NULL;
}
