/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the virtual machine control block (AMD APM vol. 2, appendix B) and the intercept and exit codes in use. */
#pragma once

#include "hw/descriptors.h"

/* Intercepts, first word (offset 0x0c). */
#define INTERCEPT_NMI (1u << 1)
#define INTERCEPT_CR0_SELECTIVE (1u << 5)
#define INTERCEPT_IDTR_WRITE (1u << 10)
#define INTERCEPT_IRET (1u << 20)
#define INTERCEPT_INVD (1u << 22)
#define INTERCEPT_INVLPG (1u << 25)
#define INTERCEPT_INVLPGA (1u << 26)
#define INTERCEPT_IOIO (1u << 27)
#define INTERCEPT_MSR (1u << 28)
#define INTERCEPT_TASK_SWITCH (1u << 29)
/* Second word (offset 0x10). */
#define INTERCEPT_VMRUN (1u << 0)
#define INTERCEPT_VMLOAD (1u << 2)
#define INTERCEPT_VMSAVE (1u << 3)
#define INTERCEPT_STGI (1u << 4)
#define INTERCEPT_CLGI (1u << 5)
#define INTERCEPT_SKINIT (1u << 6)
#define INTERCEPT_WBINVD (1u << 9)

/* Third (offset 0x14). */
#define INTERCEPT_INVPCID (1u << 2)

#define INTERCEPT_CR3_READ (1u << 3)  /* offset 0x00 */
#define INTERCEPT_CR4_READ (1u << 4)
#define INTERCEPT_CR3_WRITE (1u << 3) /* offset 0x02 */
#define INTERCEPT_CR4_WRITE (1u << 4)
#define INTERCEPT_PF (1u << 14)       /* offset 0x08 */
#define INTERCEPT_DB (1u << 1)        /* offset 0x08, a bit a vector */
#define INTERCEPT_IRET_FAULTS (1u << 11 | 1u << 12 | 1u << 13 | 1u << 14) /* #NP, #SS, #GP, #PF */

#define VMEXIT_CR3_READ 0x03ull
#define VMEXIT_CR4_READ 0x04ull
#define VMEXIT_CR3_WRITE 0x13ull
#define VMEXIT_CR4_WRITE 0x14ull
#define VMEXIT_EXCEPTION 0x40ull /* + vector */
#define VMEXIT_DB 0x41ull
#define VMEXIT_NP 0x4bull
#define VMEXIT_SS 0x4cull
#define VMEXIT_GP 0x4dull
#define VMEXIT_PF 0x4eull
#define VMEXIT_NMI 0x61ull
#define VMEXIT_CR0_SELECTIVE 0x65ull
#define VMEXIT_IDTR_WRITE 0x6aull
#define VMEXIT_IRET 0x74ull
#define VMEXIT_INVD 0x76ull
#define VMEXIT_INVLPG 0x79ull
#define VMEXIT_INVLPGA 0x7aull
#define VMEXIT_IOIO 0x7bull
#define VMEXIT_MSR 0x7cull
#define VMEXIT_TASK_SWITCH 0x7dull
#define VMEXIT_SHUTDOWN 0x7full
#define VMEXIT_VMRUN 0x80ull
#define VMEXIT_VMLOAD 0x82ull
#define VMEXIT_VMSAVE 0x83ull
#define VMEXIT_STGI 0x84ull
#define VMEXIT_CLGI 0x85ull
#define VMEXIT_SKINIT 0x86ull
#define VMEXIT_WBINVD 0x89ull
#define VMEXIT_INVPCID 0xa2ull
#define VMEXIT_NPF 0x400ull

#define TLB_KEEP 0u
#define TLB_FLUSH_ALL 1u

#define NESTED_ENABLE 1ull

/* EVENTINJ and EXITINTINFO (APM vol. 2, 15.20). */
#define EVENT_VALID (1ull << 31)
#define EVENT_HAS_ERROR (1ull << 11)
#define EVENT_VECTOR(e) ((uint32_t)(e) & 0xffu)
#define EVENT_TYPE(e) ((uint32_t)(e) >> 8 & 7u)
#define EVENT_TYPE_INTR 0u
#define EVENT_TYPE_NMI 2u
#define EVENT_TYPE_EXCEPTION 3u
#define EVENT_TYPE_SOFT 4u
#define EVENT_MAKE(type, vector) (EVENT_VALID | (uint64_t)(type) << 8 | (vector))

#define INTERRUPT_SHADOW (1ull << 0) /* 15.21.5 */


/* EXITINFO1 of IOIO (15.10.2) and of NPF (15.25.6). */
#define IOIO_IN (1ull << 0)
#define IOIO_STRING (1ull << 2)
#define IOIO_BYTES(info) ((uint32_t)(info) >> 4 & 7u) /* a bit a size: 1, 2, 4 */
#define NPF_PRESENT (1ull << 0)
#define NPF_WRITE (1ull << 1)
#define NPF_FINAL (1ull << 32) /* the access itself, not the walk of the OS's tables */

struct vmcb_segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
} PACKED;

struct vmcb {
	uint16_t intercept_cr_read, intercept_cr_write;
	uint16_t intercept_dr_read, intercept_dr_write;
	uint32_t intercept_exceptions;
	uint32_t intercept1, intercept2, intercept3;
	uint8_t reserved0[0x3c - 0x18];
	uint16_t pause_threshold, pause_count;
	uint64_t iopm_base, msrpm_base, tsc_offset;
	uint32_t asid;
	uint8_t tlb_control, reserved1[3];
	uint64_t virtual_interrupt;
	uint64_t interrupt_shadow;
	uint64_t exit_code, exit_info1, exit_info2, exit_int_info;
	uint64_t nested_control;
	uint8_t reserved2[0xa8 - 0x98];
	uint64_t event_injection;
	uint64_t nested_cr3;
	uint64_t lbr_control;
	uint32_t clean_bits, reserved3;
	uint64_t next_rip;
	uint8_t reserved4[0x400 - 0xd0];

	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved5[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved6;
	uint64_t efer;
	uint8_t reserved7[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved8[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t reserved9[0x5f8 - 0x5e0];
	uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
	uint8_t reserved10[0x668 - 0x648];
	uint64_t g_pat, dbgctl, last_branch_from, last_branch_to, last_int_from, last_int_to;
	uint8_t reserved11[0x1000 - 0x698];
} PACKED;
_Static_assert(offsetof(struct vmcb, iopm_base) == 0x40, "B.1");
_Static_assert(offsetof(struct vmcb, asid) == 0x58, "B.1");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "B.1");
_Static_assert(offsetof(struct vmcb, nested_control) == 0x90, "B.1");
_Static_assert(offsetof(struct vmcb, event_injection) == 0xa8, "B.1");
_Static_assert(offsetof(struct vmcb, clean_bits) == 0xc0, "B.1");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "B.2");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "B.2");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "B.2");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "B.2");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "B.2");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "B.2");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "B.2");
_Static_assert(sizeof(struct vmcb) == 0x1000, "15.5: one page");
