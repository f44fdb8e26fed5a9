/* SPDX-License-Identifier: BSD-2-Clause */
/* One exit: which cause it is and who handles it. Owns nothing. */
#include "hw/console.h"
#include "hw/descriptors.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "virt/exit.h"
#include "virt/guard.h"
#include "virt/kick.h"
#include "virt/moving.h"
#include "vmx/vmx.h"
#include "vmx/vmx_audit.h"
#include "vmx/vmx_insn.h"

static enum scrim_exit on_io(struct cpu *cpu)
{
	uint64_t q = vmx_read(VMCS_EXIT_QUALIFICATION);
	const struct exit_io io = { .port = (uint16_t)QUALIFICATION_IO_PORT(q), .bytes = QUALIFICATION_IO_BYTES(q), .is_in = q & QUALIFICATION_IO_IN };

	if (q & QUALIFICATION_IO_STRING) {
		vmx_inject_exception(VECTOR_GP, true);
	} else {
		exit_do_io(cpu, &io, &cpu->regs.rax);
		vmx_skip();
	}
	return exit_io_cause(io.port);
}

static void on_cache(struct cpu *cpu, bool is_wbinvd)
{
	if (is_wbinvd)
		guard_on_wbinvd(cpu);
	wbinvd(); /* INVD would drop Scrim's own dirty lines */
	vmx_skip();
}

/* An instruction of a form that no OS uses for this cannot be obeyed unseen, since it may start a CPU: it gets #GP. */
static void on_apic_write(struct cpu *cpu, uint64_t address)
{
	uint32_t reg = (uint32_t)(address & PAGE_MASK) & ~0xfu, value;
	struct guest_insn insn = vmx_insn(cpu);

	if (guest_insn_store(cpu, &insn, reg, &value) && guard_apic_write(cpu, reg, value))
		vmx_insn_done(cpu, &insn);
	else
		vmx_inject_exception(VECTOR_GP, true);
}

void vmx_block_nmis_again(bool was_unblocked)
{
	if (was_unblocked && !(vmx_read(VMCS_VECTORING_EVENT) & VMX_EVENT_VALID))
		vmx_write(VMCS_GUEST_INTERRUPTIBILITY, vmx_read(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKED_BY_NMI);
}

/* A page of the map: absent while it is moved, or read-only because it is shared. Where nothing more stands in its way the access is made again. */
static enum scrim_exit on_ept_violation(struct cpu *cpu)
{
	uint64_t address = vmx_read(VMCS_GUEST_PHYSICAL_ADDRESS), q = vmx_read(VMCS_EXIT_QUALIFICATION);
	gfn_t page = gfn_of_address(address);
	bool is_write = q & QUALIFICATION_EPT_WRITE;

	vmx_block_nmis_again(q & QUALIFICATION_NMI_UNBLOCKED);
	if (is_write && exit_is_apic_write(page)) {
		on_apic_write(cpu, address);
		return SCRIM_EXIT_APIC;
	}
	if (!moving_fault(cpu, page, is_write))
		vmx_inject_exception(VECTOR_GP, true); /* beyond what any CPU of this kind can address */
	return SCRIM_EXIT_MAP;
}

/* The OS's triple fault: this CPU shuts down in its stead, as it would have without Scrim. */
void NORETURN vmx_shut_down(void)
{
	const struct descriptor_table_pointer none = { 0, 0 };

	CHECK(vmxoff() == VMX_SUCCEEDED);
	lidt(&none);
	for (;;)
		__asm__ volatile("ud2");
}

static void NORETURN bug(const struct cpu *cpu, uint32_t reason)
{
	panic("CPU %u: exit %x, qualification %lx, rip %lx, physical %lx: a bug in Scrim", cpu->apic_id, reason,
	      vmx_read(VMCS_EXIT_QUALIFICATION), vmx_read(VMCS_GUEST_RIP), vmx_read(VMCS_GUEST_PHYSICAL_ADDRESS));
}

static enum scrim_exit on_exception_or_nmi(struct cpu *cpu)
{
	uint32_t event = (uint32_t)vmx_read(VMCS_EXIT_EVENT);

	if (VMX_EVENT_TYPE(event) == VMX_EVENT_NMI) {
		vmx_on_nmi(cpu);
		return SCRIM_EXIT_NMI;
	}
	if (VMX_EVENT_VECTOR(event) != VECTOR_PF || !vmx_is_v2m(cpu))
		bug(cpu, REASON_EXCEPTION_OR_NMI);
	vmx_on_page_fault(cpu);
	return SCRIM_EXIT_PAGE_FAULT;
}

/* What the OS is to take for instructions that there are not. */
static enum scrim_exit on_hidden(void)
{
	vmx_inject_exception(VECTOR_UD, false);
	return SCRIM_EXIT_VMX_INSN;
}

/* What VMX forces upon every exit that is not about memory or control registers. */
static enum scrim_exit dispatch_rest(struct cpu *cpu, uint32_t reason)
{
	switch (reason) {
	case REASON_INIT: /* unseen by the guard (ARCHITECTURE.md, Limits): it is to take effect */
		guard_leave(cpu);
	case REASON_TRIPLE_FAULT:
	case REASON_TASK_SWITCH: /* ARCHITECTURE.md, Limits */
		vmx_shut_down();
	case REASON_GETSEC:
	case REASON_VMCALL:
	case REASON_VMCLEAR:
	case REASON_VMLAUNCH:
	case REASON_VMPTRLD:
	case REASON_VMPTRST:
	case REASON_VMREAD:
	case REASON_VMRESUME:
	case REASON_VMWRITE:
	case REASON_VMXOFF:
	case REASON_VMXON:
	case REASON_INVEPT:
	case REASON_INVVPID:
		return on_hidden();
	default:
		bug(cpu, reason);
	}
}

static enum scrim_exit dispatch(struct cpu *cpu, uint32_t reason)
{
	switch (reason) {
	case REASON_CPUID:
		vmx_on_cpuid(cpu);
		return SCRIM_EXIT_CPUID;
	case REASON_IO:
		return on_io(cpu);
	case REASON_EXCEPTION_OR_NMI:
		return on_exception_or_nmi(cpu);
	case REASON_NMI_WINDOW: /* the OS's NMI handler has ended; what waits goes in before the entry */
		vmx_set_primary(PRIMARY_NMI_WINDOW, false);
		return SCRIM_EXIT_IRET;
	case REASON_EPT_VIOLATION:
		return on_ept_violation(cpu);
	case REASON_RDMSR:
	case REASON_WRMSR:
		vmx_on_msr(cpu, reason == REASON_WRMSR);
		return SCRIM_EXIT_MSR;
	case REASON_CR_ACCESS:
		return vmx_on_cr_access(cpu);
	case REASON_INVLPG:
		vmx_on_invlpg(cpu);
		return SCRIM_EXIT_INVLPG;
	case REASON_INVPCID:
		cpu->step_aside = true;
		return SCRIM_EXIT_PAGING;
	case REASON_GDTR_IDTR:
	case REASON_LDTR_TR: /* exits along with LIDT; executes again while CR3 loads are watched */
		guard_on_lidt(cpu);
		return SCRIM_EXIT_LIDT;
	case REASON_WBINVD:
	case REASON_INVD:
		on_cache(cpu, reason == REASON_WBINVD);
		return SCRIM_EXIT_CACHE;
	case REASON_XSETBV:
		vmx_on_xsetbv(cpu);
		return SCRIM_EXIT_XSETBV;
	default:
		return dispatch_rest(cpu, reason);
	}
}

/*
 * The exit came while the CPU was delivering an event to the OS: deliver it again (27.2.4). An instruction that raises one by
 * itself does not execute again: its length goes in.
 */
static void redeliver(void)
{
	uint32_t event = (uint32_t)vmx_read(VMCS_VECTORING_EVENT), type = VMX_EVENT_TYPE(event);

	if (!(event & VMX_EVENT_VALID) || vmx_read(VMCS_ENTRY_EVENT) & VMX_EVENT_VALID)
		return;
	if (event & VMX_EVENT_HAS_ERROR)
		vmx_write(VMCS_ENTRY_EVENT_ERROR, vmx_read(VMCS_VECTORING_EVENT_ERROR));
	if (type == VMX_EVENT_SOFT_INTERRUPT || type == VMX_EVENT_PRIVILEGED_SOFT || type == VMX_EVENT_SOFT_EXCEPTION)
		vmx_write(VMCS_ENTRY_INSN_LENGTH, vmx_read(VMCS_EXIT_INSN_LENGTH));
	if (type == VMX_EVENT_NMI) /* its delivery has blocked NMIs already; an entry with one refuses that */
		vmx_write(VMCS_GUEST_INTERRUPTIBILITY, vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)BLOCKED_BY_NMI);
	vmx_write(VMCS_ENTRY_EVENT, event & ~VMX_EVENT_RESERVED);
}

void vmx_handle_exit(struct cpu *cpu)
{
	uint32_t reason = (uint32_t)vmx_read(VMCS_EXIT_REASON);

	if (reason & REASON_FAILED_ENTRY)
		vmx_entry_failed(cpu);
	cpu->entered = 1;
	exit_begin(cpu);
	enum scrim_exit cause = dispatch(cpu, REASON_OF(reason));
	redeliver();
	exit_end(cpu, cause);
	vmx_settle_nmi(cpu);
}

void vmx_before_entry(struct cpu *cpu)
{
	__atomic_store_n(&cpu->in_vmm, 1, __ATOMIC_SEQ_CST);
	kick_serve(cpu);
	__atomic_store_n(&cpu->in_vmm, 0, __ATOMIC_SEQ_CST);
	vmx_settle_nmi(cpu);
}

static uint64_t read_for_audit(void *context, enum vmcs_field field)
{
	(void)context;
	return vmx_read(field);
}

/* The hardware says that it refuses, the audit why. */
void vmx_entry_failed(struct cpu *cpu)
{
	struct vmx_capabilities capabilities;
	const struct vmx_audit_cpu as = { .capabilities = &capabilities, .address_bits = machine.xlat.address_bits,
					  .linear_bits = read_cr4() & CR4_LA57 ? 57 : 48 };

	vmx_capabilities_read(&capabilities, rdmsr);
	const struct vmx_fault fault = vmx_audit(&as, read_for_audit, NULL);
	panic("CPU %u: the VMCS is refused: exit %lx, error %lu, qualification %lx, field %x is %lx: %s: a bug in Scrim", cpu->apic_id,
	      vmx_read(VMCS_EXIT_REASON), vmx_read(VMCS_INSN_ERROR), vmx_read(VMCS_EXIT_QUALIFICATION), (uint32_t)fault.field, fault.value,
	      fault.rule ? fault.rule : "no rule broken");
}
