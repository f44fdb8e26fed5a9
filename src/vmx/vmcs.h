/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides the virtual machine control structure's fields (Intel SDM vol. 3, appendix B) and the bits of those in use: controls, exit
 * reasons and qualifications, events, access rights. Chapters are those of the manual's editions up to 2022; later ones number them one higher.
 */
#pragma once

#include "base/types.h"

/* Bits 14:13 of an encoding: the width that VMREAD and VMWRITE take (24.11.2). */
#define VMCS_WIDTH(field) ((uint32_t)(field) >> 13 & 3u)
#define VMCS_WIDTH_16 0u
#define VMCS_WIDTH_64 1u
#define VMCS_WIDTH_32 2u
#define VMCS_WIDTH_NATURAL 3u

/* Segment registers, in the order in which their fields follow each other, two apart. */
enum vmcs_segment { VMCS_ES, VMCS_CS, VMCS_SS, VMCS_DS, VMCS_FS, VMCS_GS, VMCS_LDTR, VMCS_TR, VMCS_SEGMENT_COUNT };

#define VMCS_GUEST_SELECTOR(segment) ((enum vmcs_field)(VMCS_GUEST_ES_SELECTOR + 2u * (segment)))
#define VMCS_GUEST_LIMIT(segment) ((enum vmcs_field)(VMCS_GUEST_ES_LIMIT + 2u * (segment)))
#define VMCS_GUEST_RIGHTS(segment) ((enum vmcs_field)(VMCS_GUEST_ES_RIGHTS + 2u * (segment)))
#define VMCS_GUEST_BASE(segment) ((enum vmcs_field)(VMCS_GUEST_ES_BASE + 2u * (segment)))

enum vmcs_field {
	/* 16 bits: B.1. */
	VMCS_VPID = 0x0000,
	VMCS_GUEST_ES_SELECTOR = 0x0800,
	VMCS_GUEST_CS_SELECTOR = 0x0802,
	VMCS_GUEST_SS_SELECTOR = 0x0804,
	VMCS_GUEST_DS_SELECTOR = 0x0806,
	VMCS_GUEST_FS_SELECTOR = 0x0808,
	VMCS_GUEST_GS_SELECTOR = 0x080a,
	VMCS_GUEST_LDTR_SELECTOR = 0x080c,
	VMCS_GUEST_TR_SELECTOR = 0x080e,
	VMCS_GUEST_INTERRUPT_STATUS = 0x0810, /* with virtual-interrupt delivery */
	VMCS_GUEST_PML_INDEX = 0x0812,        /* with the page-modification log */
	VMCS_HOST_ES_SELECTOR = 0x0c00,
	VMCS_HOST_CS_SELECTOR = 0x0c02,
	VMCS_HOST_SS_SELECTOR = 0x0c04,
	VMCS_HOST_DS_SELECTOR = 0x0c06,
	VMCS_HOST_FS_SELECTOR = 0x0c08,
	VMCS_HOST_GS_SELECTOR = 0x0c0a,
	VMCS_HOST_TR_SELECTOR = 0x0c0c,

	/* 64 bits: B.2. */
	VMCS_IO_BITMAP_A = 0x2000,
	VMCS_IO_BITMAP_B = 0x2002,
	VMCS_MSR_BITMAP = 0x2004,
	VMCS_EXIT_MSR_STORE = 0x2006,
	VMCS_EXIT_MSR_LOAD = 0x2008,
	VMCS_ENTRY_MSR_LOAD = 0x200a,
	VMCS_TSC_OFFSET = 0x2010,
	VMCS_EPT_POINTER = 0x201a,
	VMCS_XSS_EXITING_BITMAP = 0x202c,
	VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,
	VMCS_GUEST_LINK_POINTER = 0x2800,
	VMCS_GUEST_DEBUGCTL = 0x2802,
	VMCS_GUEST_PAT = 0x2804,
	VMCS_GUEST_EFER = 0x2806,
	VMCS_GUEST_PERF_GLOBAL_CTRL = 0x2808,
	VMCS_GUEST_PDPTE0 = 0x280a,
	VMCS_GUEST_PDPTE1 = 0x280c,
	VMCS_GUEST_PDPTE2 = 0x280e,
	VMCS_GUEST_PDPTE3 = 0x2810,
	VMCS_GUEST_BNDCFGS = 0x2812,
	VMCS_GUEST_RTIT_CTL = 0x2814,
	VMCS_GUEST_LBR_CTL = 0x2816,
	VMCS_GUEST_PKRS = 0x2818,
	VMCS_HOST_PAT = 0x2c00,
	VMCS_HOST_EFER = 0x2c02,

	/* 32 bits: B.3. */
	VMCS_PIN_CONTROLS = 0x4000,
	VMCS_PRIMARY_CONTROLS = 0x4002,
	VMCS_EXCEPTION_BITMAP = 0x4004,
	VMCS_PAGE_FAULT_MASK = 0x4006,
	VMCS_PAGE_FAULT_MATCH = 0x4008,
	VMCS_CR3_TARGET_COUNT = 0x400a,
	VMCS_EXIT_CONTROLS = 0x400c,
	VMCS_EXIT_MSR_STORE_COUNT = 0x400e,
	VMCS_EXIT_MSR_LOAD_COUNT = 0x4010,
	VMCS_ENTRY_CONTROLS = 0x4012,
	VMCS_ENTRY_MSR_LOAD_COUNT = 0x4014,
	VMCS_ENTRY_EVENT = 0x4016,
	VMCS_ENTRY_EVENT_ERROR = 0x4018,
	VMCS_ENTRY_INSN_LENGTH = 0x401a,
	VMCS_SECONDARY_CONTROLS = 0x401e,
	VMCS_INSN_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_EVENT = 0x4404,
	VMCS_EXIT_EVENT_ERROR = 0x4406,
	VMCS_VECTORING_EVENT = 0x4408, /* what was being delivered when the exit came */
	VMCS_VECTORING_EVENT_ERROR = 0x440a,
	VMCS_EXIT_INSN_LENGTH = 0x440c,
	VMCS_EXIT_INSN_INFO = 0x440e,
	VMCS_GUEST_ES_LIMIT = 0x4800,
	VMCS_GUEST_CS_LIMIT = 0x4802,
	VMCS_GUEST_SS_LIMIT = 0x4804,
	VMCS_GUEST_DS_LIMIT = 0x4806,
	VMCS_GUEST_FS_LIMIT = 0x4808,
	VMCS_GUEST_GS_LIMIT = 0x480a,
	VMCS_GUEST_LDTR_LIMIT = 0x480c,
	VMCS_GUEST_TR_LIMIT = 0x480e,
	VMCS_GUEST_GDTR_LIMIT = 0x4810,
	VMCS_GUEST_IDTR_LIMIT = 0x4812,
	VMCS_GUEST_ES_RIGHTS = 0x4814,
	VMCS_GUEST_CS_RIGHTS = 0x4816,
	VMCS_GUEST_SS_RIGHTS = 0x4818,
	VMCS_GUEST_DS_RIGHTS = 0x481a,
	VMCS_GUEST_FS_RIGHTS = 0x481c,
	VMCS_GUEST_GS_RIGHTS = 0x481e,
	VMCS_GUEST_LDTR_RIGHTS = 0x4820,
	VMCS_GUEST_TR_RIGHTS = 0x4822,
	VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
	VMCS_GUEST_ACTIVITY = 0x4826,
	VMCS_GUEST_SMBASE = 0x4828,
	VMCS_GUEST_SYSENTER_CS = 0x482a,
	VMCS_GUEST_PREEMPTION_TIMER = 0x482e,
	VMCS_HOST_SYSENTER_CS = 0x4c00,

	/* Natural width: B.4. */
	VMCS_CR0_MASK = 0x6000, /* bits that are Scrim's: the OS reads the shadow, and a change of one exits */
	VMCS_CR4_MASK = 0x6002,
	VMCS_CR0_SHADOW = 0x6004,
	VMCS_CR4_SHADOW = 0x6006,
	VMCS_EXIT_QUALIFICATION = 0x6400,
	VMCS_GUEST_LINEAR_ADDRESS = 0x640a,
	VMCS_GUEST_CR0 = 0x6800,
	VMCS_GUEST_CR3 = 0x6802,
	VMCS_GUEST_CR4 = 0x6804,
	VMCS_GUEST_ES_BASE = 0x6806,
	VMCS_GUEST_CS_BASE = 0x6808,
	VMCS_GUEST_SS_BASE = 0x680a,
	VMCS_GUEST_DS_BASE = 0x680c,
	VMCS_GUEST_FS_BASE = 0x680e,
	VMCS_GUEST_GS_BASE = 0x6810,
	VMCS_GUEST_LDTR_BASE = 0x6812,
	VMCS_GUEST_TR_BASE = 0x6814,
	VMCS_GUEST_GDTR_BASE = 0x6816,
	VMCS_GUEST_IDTR_BASE = 0x6818,
	VMCS_GUEST_DR7 = 0x681a,
	VMCS_GUEST_RSP = 0x681c,
	VMCS_GUEST_RIP = 0x681e,
	VMCS_GUEST_RFLAGS = 0x6820,
	VMCS_GUEST_PENDING_DEBUG = 0x6822,
	VMCS_GUEST_SYSENTER_ESP = 0x6824,
	VMCS_GUEST_SYSENTER_EIP = 0x6826,
	VMCS_GUEST_S_CET = 0x6828,
	VMCS_GUEST_SSP = 0x682a,
	VMCS_GUEST_SSP_TABLE = 0x682c,
	VMCS_HOST_CR0 = 0x6c00,
	VMCS_HOST_CR3 = 0x6c02,
	VMCS_HOST_CR4 = 0x6c04,
	VMCS_HOST_FS_BASE = 0x6c06,
	VMCS_HOST_GS_BASE = 0x6c08,
	VMCS_HOST_TR_BASE = 0x6c0a,
	VMCS_HOST_GDTR_BASE = 0x6c0c,
	VMCS_HOST_IDTR_BASE = 0x6c0e,
	VMCS_HOST_SYSENTER_ESP = 0x6c10,
	VMCS_HOST_SYSENTER_EIP = 0x6c12,
	VMCS_HOST_RSP = 0x6c14,
	VMCS_HOST_RIP = 0x6c16,
};
_Static_assert(VMCS_GUEST_SELECTOR(VMCS_TR) == VMCS_GUEST_TR_SELECTOR, "B.1.2");
_Static_assert(VMCS_GUEST_LIMIT(VMCS_TR) == VMCS_GUEST_TR_LIMIT, "B.3.3");
_Static_assert(VMCS_GUEST_RIGHTS(VMCS_TR) == VMCS_GUEST_TR_RIGHTS, "B.3.3");
_Static_assert(VMCS_GUEST_BASE(VMCS_TR) == VMCS_GUEST_TR_BASE, "B.4.3");

/* Pin-based controls (24.6.1). */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI (1u << 3)
#define PIN_VIRTUAL_NMIS (1u << 5)
#define PIN_PREEMPTION_TIMER (1u << 6)
#define PIN_POSTED_INTERRUPTS (1u << 7)

/* Primary processor-based controls (24.6.2). */
#define PRIMARY_INTERRUPT_WINDOW (1u << 2)
#define PRIMARY_TSC_OFFSETTING (1u << 3)
#define PRIMARY_HLT (1u << 7)
#define PRIMARY_INVLPG (1u << 9)
#define PRIMARY_MWAIT (1u << 10)
#define PRIMARY_RDPMC (1u << 11)
#define PRIMARY_RDTSC (1u << 12)
#define PRIMARY_CR3_LOAD (1u << 15)
#define PRIMARY_CR3_STORE (1u << 16)
#define PRIMARY_CR8_LOAD (1u << 19)
#define PRIMARY_CR8_STORE (1u << 20)
#define PRIMARY_TPR_SHADOW (1u << 21)
#define PRIMARY_NMI_WINDOW (1u << 22)
#define PRIMARY_MOV_DR (1u << 23)
#define PRIMARY_IO (1u << 24)
#define PRIMARY_IO_BITMAPS (1u << 25)
#define PRIMARY_MONITOR_TRAP (1u << 27)
#define PRIMARY_MSR_BITMAPS (1u << 28)
#define PRIMARY_MONITOR (1u << 29)
#define PRIMARY_PAUSE (1u << 30)
#define PRIMARY_SECONDARY (1u << 31)

/* Secondary (24.6.2, table 24-7). */
#define SECONDARY_APIC_ACCESSES (1u << 0)
#define SECONDARY_EPT (1u << 1)
#define SECONDARY_DESCRIPTOR_TABLE (1u << 2)
#define SECONDARY_RDTSCP (1u << 3)
#define SECONDARY_X2APIC (1u << 4)
#define SECONDARY_VPID (1u << 5)
#define SECONDARY_WBINVD (1u << 6)
#define SECONDARY_UNRESTRICTED (1u << 7)
#define SECONDARY_APIC_REGISTERS (1u << 8)
#define SECONDARY_INTERRUPT_DELIVERY (1u << 9)
#define SECONDARY_PAUSE_LOOP (1u << 10)
#define SECONDARY_INVPCID (1u << 12)
#define SECONDARY_VMFUNC (1u << 13)
#define SECONDARY_PML (1u << 17)
#define SECONDARY_EPT_VE (1u << 18)
#define SECONDARY_XSAVES (1u << 20)
#define SECONDARY_MODE_BASED_EXECUTE (1u << 22)
#define SECONDARY_SUB_PAGE_WRITE (1u << 23)
#define SECONDARY_USER_WAIT (1u << 26) /* TPAUSE, UMONITOR, UMWAIT */

/* VM-exit controls (24.7.1). */
#define EXIT_SAVE_DEBUG (1u << 2)
#define EXIT_HOST_64 (1u << 9)
#define EXIT_LOAD_PERF_GLOBAL_CTRL (1u << 12)
#define EXIT_ACKNOWLEDGE_INTERRUPT (1u << 15)
#define EXIT_SAVE_PAT (1u << 18)
#define EXIT_LOAD_PAT (1u << 19)
#define EXIT_SAVE_EFER (1u << 20)
#define EXIT_LOAD_EFER (1u << 21)
#define EXIT_SAVE_PREEMPTION_TIMER (1u << 22)

/* VM-entry controls (24.8.1). */
#define ENTRY_LOAD_DEBUG (1u << 2)
#define ENTRY_GUEST_64 (1u << 9)
#define ENTRY_TO_SMM (1u << 10)
#define ENTRY_DEACTIVATE_DUAL_MONITOR (1u << 11)
#define ENTRY_LOAD_PERF_GLOBAL_CTRL (1u << 13)
#define ENTRY_LOAD_PAT (1u << 14)
#define ENTRY_LOAD_EFER (1u << 15)
#define ENTRY_LOAD_BNDCFGS (1u << 16)

/* Exit reasons (appendix C): what VMCS_EXIT_REASON has. */
#define REASON_OF(field) ((uint32_t)(field) & 0xffffu)
#define REASON_FAILED_ENTRY (1u << 31)
#define REASON_EXCEPTION_OR_NMI 0u
#define REASON_EXTERNAL_INTERRUPT 1u
#define REASON_TRIPLE_FAULT 2u
#define REASON_INIT 3u
#define REASON_STARTUP 4u
#define REASON_INTERRUPT_WINDOW 7u
#define REASON_NMI_WINDOW 8u
#define REASON_TASK_SWITCH 9u
#define REASON_CPUID 10u
#define REASON_GETSEC 11u
#define REASON_HLT 12u
#define REASON_INVD 13u
#define REASON_INVLPG 14u
#define REASON_RSM 17u
#define REASON_VMCALL 18u
#define REASON_VMCLEAR 19u
#define REASON_VMLAUNCH 20u
#define REASON_VMPTRLD 21u
#define REASON_VMPTRST 22u
#define REASON_VMREAD 23u
#define REASON_VMRESUME 24u
#define REASON_VMWRITE 25u
#define REASON_VMXOFF 26u
#define REASON_VMXON 27u
#define REASON_CR_ACCESS 28u
#define REASON_DR_ACCESS 29u
#define REASON_IO 30u
#define REASON_RDMSR 31u
#define REASON_WRMSR 32u
#define REASON_INVALID_GUEST_STATE 33u
#define REASON_MSR_LOADING 34u
#define REASON_MONITOR_TRAP 37u
#define REASON_MACHINE_CHECK_AT_ENTRY 41u
#define REASON_GDTR_IDTR 46u
#define REASON_LDTR_TR 47u
#define REASON_EPT_VIOLATION 48u
#define REASON_EPT_MISCONFIGURATION 49u
#define REASON_INVEPT 50u
#define REASON_PREEMPTION_TIMER 52u
#define REASON_INVVPID 53u
#define REASON_WBINVD 54u
#define REASON_XSETBV 55u
#define REASON_INVPCID 58u
#define REASON_VMFUNC 59u
#define REASON_XSAVES 63u
#define REASON_XRSTORS 64u

/* Exit qualifications (27.2.1): control registers, I/O, task switch, EPT violations. */
#define QUALIFICATION_CR(q) ((uint32_t)(q) & 0xfu)
#define QUALIFICATION_CR_ACCESS(q) ((uint32_t)(q) >> 4 & 3u)
#define CR_ACCESS_MOV_TO 0u
#define CR_ACCESS_MOV_FROM 1u
#define CR_ACCESS_CLTS 2u
#define CR_ACCESS_LMSW 3u
#define QUALIFICATION_CR_REGISTER(q) ((uint32_t)(q) >> 8 & 0xfu)
#define QUALIFICATION_LMSW_SOURCE(q) ((uint32_t)(q) >> 16 & 0xffffu)
#define QUALIFICATION_IO_BYTES(q) (((uint32_t)(q) & 7u) + 1u)
#define QUALIFICATION_IO_IN (1u << 3)
#define QUALIFICATION_IO_STRING (1u << 4)
#define QUALIFICATION_IO_PORT(q) ((uint32_t)(q) >> 16 & 0xffffu)
#define QUALIFICATION_EPT_READ (1u << 0)
#define QUALIFICATION_EPT_WRITE (1u << 1)
#define QUALIFICATION_EPT_FETCH (1u << 2)
#define QUALIFICATION_EPT_PRESENT (7u << 3)       /* the rights that the entries grant: none, it is absent */
#define QUALIFICATION_EPT_LINEAR_VALID (1u << 7)
#define QUALIFICATION_EPT_FINAL (1u << 8)         /* the access itself, not the walk of the OS's tables */
#define QUALIFICATION_NMI_UNBLOCKED (1u << 12)    /* an IRET had ended NMI blocking and did not complete (27.2.3) */
/* Of debug exceptions: breakpoints met, and DR6's bits (table 27-1). */
#define QUALIFICATION_DEBUG_BREAKPOINTS 0xfu
#define QUALIFICATION_DEBUG_BS (1u << 14)

/* Instruction information of LIDT and its like (table 27-11). */
#define INSN_INFO_IS_LGDT_LIDT (1u << 29) /* a load, not a store */
#define INSN_INFO_IS_IDT (1u << 28)

/* Events: to be injected, that exited, and that were being delivered (24.8.3, 24.9.2, 24.9.3). */
#define VMX_EVENT_VALID (1u << 31)
#define VMX_EVENT_HAS_ERROR (1u << 11)
#define VMX_EVENT_NMI_UNBLOCKED (1u << 12) /* in VMCS_EXIT_EVENT */
#define VMX_EVENT_RESERVED 0x7ffff000u     /* in VMCS_ENTRY_EVENT */
#define VMX_EVENT_VECTOR(e) ((uint32_t)(e) & 0xffu)
#define VMX_EVENT_TYPE(e) ((uint32_t)(e) >> 8 & 7u)
#define VMX_EVENT_EXTERNAL 0u
#define VMX_EVENT_NMI 2u
#define VMX_EVENT_EXCEPTION 3u
#define VMX_EVENT_SOFT_INTERRUPT 4u
#define VMX_EVENT_PRIVILEGED_SOFT 5u /* INT1 */
#define VMX_EVENT_SOFT_EXCEPTION 6u  /* INT3, INTO */
#define VMX_EVENT_OTHER 7u
#define VMX_EVENT_MAKE(type, vector) (VMX_EVENT_VALID | (uint32_t)(type) << 8 | (vector))

/* Access rights of a segment (24.4.1). */
#define RIGHTS_TYPE(r) ((uint32_t)(r) & 0xfu)
#define RIGHTS_ACCESSED (1u << 0)
#define RIGHTS_WRITABLE (1u << 1)    /* of data; of code: readable */
#define RIGHTS_CONFORMING (1u << 2)  /* of code; of data: expand-down */
#define RIGHTS_CODE (1u << 3)
#define RIGHTS_NOT_SYSTEM (1u << 4)
#define RIGHTS_DPL(r) ((uint32_t)(r) >> 5 & 3u)
#define RIGHTS_PRESENT (1u << 7)
#define RIGHTS_LONG (1u << 13)
#define RIGHTS_32BIT (1u << 14)
#define RIGHTS_PAGES (1u << 15)      /* G */
#define RIGHTS_UNUSABLE (1u << 16)
#define RIGHTS_RESERVED 0xfffe0f00u

/* Interruptibility and activity (24.4.2). */
#define BLOCKED_BY_STI (1u << 0)
#define BLOCKED_BY_MOV_SS (1u << 1)
#define BLOCKED_BY_SMI (1u << 2)
#define BLOCKED_BY_NMI (1u << 3)
#define BLOCKED_ENCLAVE (1u << 4)
#define BLOCKED_RESERVED 0xffffffe0u
#define ACTIVITY_ACTIVE 0u
#define ACTIVITY_HLT 1u
#define ACTIVITY_SHUTDOWN 2u
#define ACTIVITY_WAIT_FOR_STARTUP 3u

/* Pending debug exceptions (table 24-4). */
#define PENDING_DEBUG_BREAKPOINT (1ull << 12)
#define PENDING_DEBUG_BS (1ull << 14)
#define PENDING_DEBUG_RTM (1ull << 16)

#define LINK_POINTER_NONE (~0ull)

/* EPT pointer (24.6.11): write-back, walks of four levels. */
#define EPTP_TYPE(eptp) ((eptp) & 7u)
#define EPTP_WRITE_BACK 6ull
#define EPTP_LEVELS(eptp) (((eptp) >> 3 & 7u) + 1u)
#define EPTP_FOUR_LEVELS (3ull << 3)
#define EPTP_ACCESSED_DIRTY (1ull << 6)

/* VM-instruction errors (30.4). */
#define VMX_ERROR_VMCLEAR_ADDRESS 2u
#define VMX_ERROR_VMLAUNCH_NOT_CLEAR 4u
#define VMX_ERROR_VMRESUME_NOT_LAUNCHED 5u
#define VMX_ERROR_ENTRY_CONTROLS 7u
#define VMX_ERROR_ENTRY_HOST_STATE 8u
#define VMX_ERROR_VMPTRLD_ADDRESS 9u
#define VMX_ERROR_VMPTRLD_REVISION 11u
#define VMX_ERROR_FIELD_UNSUPPORTED 12u
#define VMX_ERROR_FIELD_READ_ONLY 13u
#define VMX_ERROR_VMXON_IN_ROOT 15u
#define VMX_ERROR_ENTRY_BLOCKED_BY_MOV_SS 26u
#define VMX_ERROR_INVALIDATE_OPERAND 28u
