/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the model-specific registers that Scrim names (AMD APM vol. 2, appendix A) and the bits it looks at. */
#pragma once

#define MSR_APIC_BASE 0x1bu
#define MSR_MTRR_CAP 0xfeu
#define MSR_MTRR_PHYS_BASE0 0x200u
#define MSR_PAT 0x277u
#define MSR_MTRR_DEF_TYPE 0x2ffu
#define MSR_MC0_CTL 0x400u /* and STATUS, ADDR, MISC; then those of bank 1 */
#define MSR_MC0_STATUS 0x401u
#define MSR_MC0_ADDR 0x402u
#define MC_BANKS_MAX 32u
#define MSR_X2APIC_ID 0x802u
#define MSR_X2APIC_EOI 0x80bu
#define MSR_X2APIC_SVR 0x80fu
#define MSR_X2APIC_ICR 0x830u
#define MSR_EFER 0xc0000080u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_SMCA_MC0_CTL 0xc0002000u /* 16 a bank */
#define MSR_SYSCFG 0xc0010010u
#define MSR_TOM2 0xc001001du
#define MSR_VM_CR 0xc0010114u
#define MSR_VM_HSAVE_PA 0xc0010117u
#define MSR_SVM_KEY 0xc0010118u

#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

#define EFER_SCE (1ull << 0)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)
#define EFER_SVME (1ull << 12)
#define EFER_FFXSR (1ull << 14)
#define EFER_TCE (1ull << 15)
#define EFER_AIBRSE (1ull << 21)

#define SYSCFG_TOM2_ENABLED (1ull << 21)
#define SYSCFG_SMEE (1ull << 23)
#define VM_CR_LOCK (1ull << 3)
#define VM_CR_SVMDIS (1ull << 4)

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define CR4_VMXE (1ull << 13)
#define CR4_SMXE (1ull << 14)
#define CR4_PCIDE (1ull << 17)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define CR4_PKE (1ull << 22)
#define CR4_CET (1ull << 23)
#define CR3_NO_FLUSH (1ull << 63) /* in what MOV CR3 is given, with CR4.PCIDE */

#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_TF (1ull << 8)
#define RFLAGS_IF (1ull << 9)
#define RFLAGS_RF (1ull << 16)
#define RFLAGS_AC (1ull << 18)
#define DR6_INIT 0xffff0ff0ull
#define DR6_BS (1ull << 14)
