/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notes of a CPU. NT_PRSTATUS is Linux's struct elf_prstatus of x86-64, in which a debugger looks for the general registers.
 * The note `QEMU` is what QEMU's dump-guest-memory writes beside it, with segments, descriptor tables and control registers.
 */
#include "core_notes.h"

#include <elf.h>
#include <string.h>

#define QEMU_STATE_VERSION 1u
#define NOTE_ALIGN(size)   (((size) + 3) & ~(size_t)3)

struct prstatus {
	uint8_t signals[32];
	uint32_t pid;
	uint8_t times[76];
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax;
	uint64_t rip, cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
	uint64_t fpvalid;
};
_Static_assert(sizeof(struct prstatus) == 336, "as Linux and QEMU have it");

struct qemu_segment {
	uint32_t selector, limit, flags, padding;
	uint64_t base;
};

struct qemu_state {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8_to_r15[8], rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
	uint64_t cr[5];
	uint64_t kernel_gs_base;
};
_Static_assert(sizeof(struct qemu_state) == 440, "as QEMU has it");

static void write_note(FILE *stream, const char *name, uint32_t type, const void *content, size_t bytes)
{
	const Elf64_Nhdr header = {
		.n_namesz = (uint32_t)strlen(name) + 1,
		.n_descsz = (uint32_t)bytes,
		.n_type = type,
	};
	static const char zeros[3];

	fwrite(&header, sizeof(header), 1, stream);
	fwrite(name, header.n_namesz, 1, stream);
	fwrite(zeros, 1, NOTE_ALIGN(header.n_namesz) - header.n_namesz, stream);
	fwrite(content, bytes, 1, stream); /* both contents are multiples of 4 */
}

static void write_prstatus(FILE *stream, const uint64_t *r, unsigned number)
{
	const struct prstatus status = {
		.pid = number,
		.r15 = r[SCRIM_REG_R15],
		.r14 = r[SCRIM_REG_R14],
		.r13 = r[SCRIM_REG_R13],
		.r12 = r[SCRIM_REG_R12],
		.rbp = r[SCRIM_REG_RBP],
		.rbx = r[SCRIM_REG_RBX],
		.r11 = r[SCRIM_REG_R11],
		.r10 = r[SCRIM_REG_R10],
		.r9 = r[SCRIM_REG_R9],
		.r8 = r[SCRIM_REG_R8],
		.rax = r[SCRIM_REG_RAX],
		.rcx = r[SCRIM_REG_RCX],
		.rdx = r[SCRIM_REG_RDX],
		.rsi = r[SCRIM_REG_RSI],
		.rdi = r[SCRIM_REG_RDI],
		.orig_rax = UINT64_MAX, /* not in a system call that could be started anew */
		.rip = r[SCRIM_REG_RIP],
		.cs = r[SCRIM_REG_CS + SCRIM_SEG_SELECTOR],
		.eflags = r[SCRIM_REG_RFLAGS],
		.rsp = r[SCRIM_REG_RSP],
		.ss = r[SCRIM_REG_SS + SCRIM_SEG_SELECTOR],
		.fs_base = r[SCRIM_REG_FS + SCRIM_SEG_BASE],
		.gs_base = r[SCRIM_REG_GS + SCRIM_SEG_BASE],
		.ds = r[SCRIM_REG_DS + SCRIM_SEG_SELECTOR],
		.es = r[SCRIM_REG_ES + SCRIM_SEG_SELECTOR],
		.fs = r[SCRIM_REG_FS + SCRIM_SEG_SELECTOR],
		.gs = r[SCRIM_REG_GS + SCRIM_SEG_SELECTOR],
	};

	write_note(stream, "CORE", NT_PRSTATUS, &status, sizeof(status));
}

/* QEMU's flags are the upper half of a descriptor; the VMCB's attributes are the same bits without the gap between. */
static struct qemu_segment segment(const uint64_t *r, enum scrim_register which)
{
	uint64_t attributes = r[which + SCRIM_SEG_ATTRIBUTES];

	return (struct qemu_segment){
		.selector = (uint32_t)r[which + SCRIM_SEG_SELECTOR],
		.limit = (uint32_t)r[which + SCRIM_SEG_LIMIT],
		.flags = (uint32_t)((attributes & 0xff) << 8 | (attributes & 0xf00) << 12),
		.base = r[which + SCRIM_SEG_BASE],
	};
}

static void write_qemu(FILE *stream, const uint64_t *r)
{
	struct qemu_state state = {
		.version = QEMU_STATE_VERSION,
		.size = sizeof(state),
		.rax = r[SCRIM_REG_RAX],
		.rbx = r[SCRIM_REG_RBX],
		.rcx = r[SCRIM_REG_RCX],
		.rdx = r[SCRIM_REG_RDX],
		.rsi = r[SCRIM_REG_RSI],
		.rdi = r[SCRIM_REG_RDI],
		.rsp = r[SCRIM_REG_RSP],
		.rbp = r[SCRIM_REG_RBP],
		.rip = r[SCRIM_REG_RIP],
		.rflags = r[SCRIM_REG_RFLAGS],
		.cs = segment(r, SCRIM_REG_CS),
		.ds = segment(r, SCRIM_REG_DS),
		.es = segment(r, SCRIM_REG_ES),
		.fs = segment(r, SCRIM_REG_FS),
		.gs = segment(r, SCRIM_REG_GS),
		.ss = segment(r, SCRIM_REG_SS),
		.ldt = segment(r, SCRIM_REG_LDT),
		.tr = segment(r, SCRIM_REG_TR),
		.gdt = segment(r, SCRIM_REG_GDT),
		.idt = segment(r, SCRIM_REG_IDT),
		.cr = { r[SCRIM_REG_CR0], 0, r[SCRIM_REG_CR2], r[SCRIM_REG_CR3], r[SCRIM_REG_CR4] },
		.kernel_gs_base = r[SCRIM_REG_KERNEL_GS_BASE],
	};

	memcpy(state.r8_to_r15, &r[SCRIM_REG_R8], sizeof(state.r8_to_r15));
	write_note(stream, "QEMU", 0, &state, sizeof(state));
}

void core_notes_write(FILE *stream, const struct core_cpu *cpu, unsigned number)
{
	write_prstatus(stream, cpu->registers, number);
	write_qemu(stream, cpu->registers);
}
