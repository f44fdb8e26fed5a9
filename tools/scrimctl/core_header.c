/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of a core file, made whole in memory so that the file is written from front to end:
 *
 *   ELF header | PT_NOTE | PT_LOAD a range ... | PT_LOAD a kernel segment ... | notes | zeros to a page | RAM
 *
 * Readers that know physical memory (crash, makedumpfile) go by p_paddr; debuggers go by p_vaddr. The kernel's text and data
 * have a second virtual address beside that in the direct map, which their segment leads to the same bytes.
 */
#include "core_header.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core_notes.h"

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static void write_notes(FILE *stream, const struct core_plan *plan)
{
	for (size_t i = 0; i < plan->cpu_count; i++)
		core_notes_write(stream, &plan->cpus[i], (unsigned)i + 1);
	if (plan->vmcoreinfo != NULL)
		fwrite(plan->vmcoreinfo, plan->vmcoreinfo_bytes, 1, stream);
}

static void write_load(FILE *stream, const struct kernel_segment *segment, uint64_t offset)
{
	const Elf64_Phdr load = {
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_W | PF_X,
		.p_offset = offset,
		.p_vaddr = segment->linear,
		.p_paddr = segment->physical,
		.p_filesz = segment->bytes,
		.p_memsz = segment->bytes,
	};

	fwrite(&load, sizeof(load), 1, stream);
}

/* Where the byte at this physical address lies behind the head; false where [physical, + bytes) is not one range's. */
static bool find_offset(const struct core_plan *plan, const struct kernel_segment *segment, uint64_t *offset)
{
	*offset = 0;
	for (size_t i = 0; i < plan->ram.count; i++) {
		const struct range *range = &plan->ram.items[i];

		if (range->start <= segment->physical && segment->physical < range->end) {
			*offset += segment->physical - range->start;
			return segment->bytes <= range->end - segment->physical;
		}
		*offset += range->end - range->start;
	}
	return false;
}

/* Segments that are not of the direct map. Returns their number; writes them where `stream` is not NULL. */
static unsigned write_aliases(FILE *stream, const struct core_plan *plan, uint64_t head)
{
	uint64_t direct, offset;
	unsigned count = 0;

	if (!kernel_map_direct(&plan->kernel, &direct))
		return 0;
	for (size_t i = 0; i < plan->kernel.count; i++) {
		const struct kernel_segment *segment = &plan->kernel.segments[i];

		if (segment->linear - segment->physical == direct || !find_offset(plan, segment, &offset))
			continue;
		if (stream != NULL)
			write_load(stream, segment, head + offset);
		count++;
	}
	return count;
}

static void write_program_headers(FILE *stream, const struct core_plan *plan, Elf64_Phdr notes)
{
	const uint64_t head = round_up(notes.p_offset + notes.p_filesz);
	uint64_t offset = head, direct = 0;

	fwrite(&notes, sizeof(notes), 1, stream);
	if (!kernel_map_direct(&plan->kernel, &direct))
		direct = 0;
	for (size_t i = 0; i < plan->ram.count; i++) {
		const struct range *range = &plan->ram.items[i];
		const uint64_t bytes = range->end - range->start;

		write_load(stream, &(struct kernel_segment){ range->start, range->start + direct, bytes }, offset);
		offset += bytes;
	}
	write_aliases(stream, plan, head);
}

static void write_head(FILE *stream, const struct core_plan *plan, const char *notes, size_t notes_bytes)
{
	const unsigned entries = 1 + (unsigned)plan->ram.count + write_aliases(NULL, plan, 0);
	static const char zeros[PAGE_BYTES];
	const Elf64_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(header),
		.e_ehsize = sizeof(header),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (Elf64_Half)entries,
	};
	const Elf64_Phdr note = {
		.p_type = PT_NOTE,
		.p_offset = sizeof(header) + entries * sizeof(Elf64_Phdr),
		.p_filesz = notes_bytes,
		.p_memsz = notes_bytes,
	};
	const uint64_t end = note.p_offset + notes_bytes;

	fwrite(&header, sizeof(header), 1, stream);
	write_program_headers(stream, plan, note);
	fwrite(notes, 1, notes_bytes, stream);
	fwrite(zeros, 1, (size_t)(round_up(end) - end), stream);
}

void *core_header(const struct core_plan *plan, size_t *bytes)
{
	char *notes = NULL, *head = NULL;
	size_t notes_bytes;
	FILE *stream = open_memstream(&notes, &notes_bytes);
	bool good = stream != NULL;

	if (good)
		write_notes(stream, plan);
	good = good && fclose(stream) == 0;
	stream = good ? open_memstream(&head, bytes) : NULL;
	good = stream != NULL;
	if (good)
		write_head(stream, plan, notes, notes_bytes);
	good = good && fclose(stream) == 0;
	free(notes);
	if (!good)
		free(head);
	return good ? head : NULL;
}
