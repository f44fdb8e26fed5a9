/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back-ends without EPT, on this side of the seam: CR3 of the VMCS is the root of the CPU's V2M tables, and what the OS says to its TLB
 * exits. Everything else that touches paging (CR0 beyond TS and MP, CR4, INVPCID) steps aside: for one exit's length the CPU goes over to EPT
 * and the hardware executes the instruction itself; V2M begins anew after it.
 */
#include "hw/descriptors.h"
#include "hw/insn.h"
#include "virt/exit.h"
#include "virt/insn_decode.h"
#include "virt/shadow.h"
#include "vmx/vmx.h"

bool vmx_is_v2m(const struct cpu *cpu)
{
	return shadow_is_v2m(cpu->mode);
}

/* Shadow stacks (CR4.CET) are written through entries with D and without W: the walk (guest_mmu.h) does not know them. */
bool vmx_can_shadow(const struct cpu *cpu)
{
	const uint64_t needed = CR0_PG | CR0_WP;

	return (vmx_guest_cr0() & needed) == needed && !(vmx_guest_cr4(cpu) & CR4_CET);
}

void vmx_enter_v2m(struct cpu *cpu, uint32_t kept)
{
	const struct guest_paging paging = vmx_paging(cpu);

	v2m_start(cpu->v2m, &paging, kept);
	cpu->guest_cr4 = paging.cr4;
	vmx_write(VMCS_CR4_MASK, ~0ull);
	vmx_write(VMCS_CR4_SHADOW, paging.cr4);
	/* Tables of two levels could not lead above 4 GiB: V2M has PAE's format there. */
	vmx_write(VMCS_GUEST_CR4, paging.cr4 | CR4_PAE | CR4_VMXE);
	vmx_write(VMCS_GUEST_CR3, v2m_root(cpu->v2m));
}

void vmx_leave_v2m(struct cpu *cpu)
{
	vmx_write(VMCS_GUEST_CR3, cpu->v2m->paging.cr3);
	vmx_write(VMCS_CR4_MASK, VMX_CR4_HIDDEN);
	vmx_write(VMCS_CR4_SHADOW, 0);
	vmx_write(VMCS_GUEST_CR4, cpu->guest_cr4 | CR4_VMXE);
	v2m_stop(cpu->v2m);
}

/* What the tables have forgotten the CPU forgets as well. */
static void flush_if_due(struct cpu *cpu)
{
	if (!cpu->v2m->flush)
		return;
	cpu->v2m->flush = false;
	vmx_flush(cpu);
}

/* --- #PF --- */

static void inject_page_fault(uint64_t linear, uint32_t error)
{
	uint32_t during = (uint32_t)vmx_read(VMCS_VECTORING_EVENT);
	bool in_exception = during & VMX_EVENT_VALID && VMX_EVENT_TYPE(during) == VMX_EVENT_EXCEPTION;

	write_cr2(linear);
	if (in_exception && VMX_EVENT_VECTOR(during) == VECTOR_DF)
		vmx_shut_down();
	if (in_exception && VMX_EVENT_VECTOR(during) == VECTOR_PF) { /* 6.15, table 6-5 */
		vmx_inject_exception(VECTOR_DF, true);
		return;
	}
	vmx_inject_exception(VECTOR_PF, true);
	vmx_write(VMCS_ENTRY_EVENT_ERROR, error);
}

/*
 * Without NX and SMEP the error code does not tell a fetch (4.7), but SMAP has to be told. A fetch is the first thing that an instruction
 * does, and meets no entry: where one was met the CPU has fetched already.
 */
static bool is_untold_fetch(const struct cpu *cpu, const struct guest_paging *paging, uint32_t error, uint64_t linear)
{
	if (paging->efer & EFER_NXE || paging->cr4 & CR4_SMEP || error)
		return false;
	const struct guest_insn insn = vmx_insn(cpu);
	return linear - guest_insn_linear(&insn) < INSN_BYTES_MAX;
}

void vmx_on_page_fault(struct cpu *cpu)
{
	uint32_t error = (uint32_t)vmx_read(VMCS_EXIT_EVENT_ERROR);
	uint64_t linear = vmx_read(VMCS_EXIT_QUALIFICATION);
	struct v2m_answer answer = { .replaced = false };
	struct guest_access access = { .linear = linear };
	struct guest_paging paging;

	vmx_guest_access(cpu, &paging, &access);
	/* Not by the CPL alone: descriptor tables and the like are the supervisor's whoever executes. */
	access.smap = !(error & PF_USER) && (access.user || access.smap);
	access.user = error & PF_USER;
	access.write = error & PF_WRITE;
	access.fetch = error & PF_FETCH || is_untold_fetch(cpu, &paging, error, linear);

	/* V2M entries carry the OS's protection keys: that one is the OS's. */
	if (error & PF_KEY) {
		inject_page_fault(linear, error);
		return;
	}
	if (shadow_miss(cpu, &access, &answer) == V2M_FAULT) {
		inject_page_fault(linear, answer.error);
		return;
	}
	vmx_block_nmis_again(vmx_read(VMCS_EXIT_EVENT) & VMX_EVENT_NMI_UNBLOCKED);
	if (!vmx_is_v2m(cpu)) /* it has waited, and the guard has come meanwhile */
		return;
	if (answer.replaced)
		vmx_flush_address(cpu, linear);
	flush_if_due(cpu);
}

/* --- CR3, INVLPG, EFER --- */

void vmx_load_cr3(struct cpu *cpu, uint64_t value)
{
	const struct guest_paging paging = vmx_paging(cpu);

	if (!vmx_is_64bit_code())
		value = (uint32_t)value;
	if (!exit_is_cr3_valid(&paging, value)) {
		vmx_inject_exception(VECTOR_GP, true);
		return;
	}
	v2m_load_cr3(cpu->v2m, value);
	vmx_write(VMCS_GUEST_CR3, v2m_root(cpu->v2m));
	flush_if_due(cpu);
	vmx_skip();
	shadow_link(cpu);
}

void vmx_on_invlpg(struct cpu *cpu)
{
	uint64_t linear = vmx_read(VMCS_EXIT_QUALIFICATION);

	if (v2m_invalidate(cpu->v2m, linear))
		vmx_flush_address(cpu, linear);
	flush_if_due(cpu);
	vmx_skip();
}

void vmx_efer_changed(struct cpu *cpu)
{
	const struct guest_paging paging = vmx_paging(cpu);
	uint32_t kept;

	if (!vmx_is_v2m(cpu))
		return;
	kept = cpu->v2m->kept;
	v2m_stop(cpu->v2m);
	v2m_start(cpu->v2m, &paging, kept);
	vmx_write(VMCS_GUEST_CR3, v2m_root(cpu->v2m));
	flush_if_due(cpu);
}
