/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns every CPU's VMCB between exits, and the permission maps. Every lasting intercept is set here, with its reason; those of one
 * NMI's length are svm_nmi.c's. ARCHITECTURE.md has all of them as a table.
 */
#include "base/str.h"
#include "hw/apic.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "svm/svm.h"
#include "virt/guard.h"
#include "virt/own.h"
#include "virt/shadow.h"

/* Always: what the hardware forces, what would take the CPU away from Scrim, and the control port. */
#define ALWAYS1                                                                                                         \
	(INTERCEPT_NMI |     /* a kick must exit; the OS's own NMIs are passed on */                                     \
	 INTERCEPT_INVD |    /* would drop Scrim's own dirty lines: done as WBINVD */                                    \
	 INTERCEPT_INVLPGA | /* SVM is hidden: #UD */                                                                    \
	 INTERCEPT_IOIO |    /* SCRIM_PORT and CMOS_DATA_PORT alone */                                                   \
	 INTERCEPT_MSR)      /* EFER.SVME, VM_CR, VM_HSAVE_PA, SVM_KEY alone; more while translating, and while guarded */
#define ALWAYS2                                                                                                         \
	(INTERCEPT_VMRUN |  /* the hardware refuses a VMCB without it (15.5.1) */                                        \
	 INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI |                                         \
	 INTERCEPT_SKINIT | /* SVM is hidden: #UD. EFER.SVME is set while the OS runs, so the hardware would run them */ \
	 INTERCEPT_WBINVD)  /* the only sign that an OS gives of parking a CPU */

#define CPUID_INVPCID (1u << 10) /* 7 EBX */

#define GUEST_ASID 1u /* the guest's mode changes with a flush each time: one is enough */

/* Segment attributes as the VMCB packs them (15.5.1): access byte, then AVL, L, D/B, G. */
#define FLAT_CODE32 0xc9b
#define FLAT_DATA32 0xc93
#define REAL_CODE 0x09b
#define REAL_DATA 0x093
#define LDT 0x082
#define TSS_BUSY 0x08b

static uint8_t *iopm, *msrpm, *msrpm_translating, *msrpm_guard;

/* Where the CPU lacks it the intercept is none. */
static bool has_invpcid(void)
{
	return cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & CPUID_INVPCID;
}

/* Two bits an MSR: read, write; three ranges of 8 Ki MSRs (15.11). */
static void msrpm_set(uint8_t *map, uint32_t msr, uint32_t accesses)
{
	uint32_t base = msr < 0x2000 ? 0 : msr < 0xc0002000 ? 0x800 : 0x1000;
	uint32_t bit = (msr & 0x1fff) * 2;

	map[base + bit / 8] |= (uint8_t)(accesses << bit % 8);
}

static void msrpm_intercept(uint8_t *map, uint32_t msr) { msrpm_set(map, msr, 3); }
static void msrpm_intercept_read(uint8_t *map, uint32_t msr) { msrpm_set(map, msr, 1); }

void svm_init(void)
{
	iopm = own_alloc(SVM_IOPM_BYTES);
	iopm[SCRIM_PORT / 8] |= (uint8_t)(1u << SCRIM_PORT % 8);
	iopm[CMOS_DATA_PORT / 8] |= (uint8_t)(1u << CMOS_DATA_PORT % 8); /* an OS writes it before it starts a CPU */
	msrpm = own_alloc(SVM_MSRPM_BYTES);
	msrpm_intercept(msrpm, MSR_EFER);
	msrpm_intercept(msrpm, MSR_VM_CR);
	msrpm_intercept(msrpm, MSR_VM_HSAVE_PA);
	msrpm_intercept(msrpm, MSR_SVM_KEY);
	/* What a machine-check bank says of a frame is told of the page that is there. In NATIVE that is the same, and nothing exits. */
	msrpm_translating = own_alloc(SVM_MSRPM_BYTES);
	memcpy(msrpm_translating, msrpm, SVM_MSRPM_BYTES);
	for (uint32_t bank = 0; bank < MC_BANKS_MAX; bank++) {
		msrpm_intercept_read(msrpm_translating, MSR_MC0_STATUS + 4 * bank);
		msrpm_intercept_read(msrpm_translating, MSR_MC0_ADDR + 4 * bank);
	}
	msrpm_guard = own_alloc(SVM_MSRPM_BYTES);
	memcpy(msrpm_guard, msrpm_translating, SVM_MSRPM_BYTES);
	msrpm_intercept(msrpm_guard, MSR_X2APIC_ICR);
	/* So that a CPU on which the guard has ended leaves it soon: an EOI comes with every interrupt. */
	msrpm_intercept(msrpm_guard, MSR_X2APIC_EOI);
	for (uint32_t i = 0; i < machine.cpu_count; i++)
		machine.cpu[i].control_block = (uint64_t)(uintptr_t)own_alloc(SVM_CPU_BYTES);
}

/* What both starts have in common. The guard's intercepts come on top (guard_apply). */
static struct vmcb *reset(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	memset(vmcb, 0, sizeof(*vmcb));
	vmcb->intercept1 = ALWAYS1;
	vmcb->intercept2 = ALWAYS2;
	vmcb->iopm_base = (uint64_t)(uintptr_t)iopm;
	vmcb->msrpm_base = (uint64_t)(uintptr_t)msrpm;
	vmcb->asid = GUEST_ASID;
	vmcb->tlb_control = TLB_FLUSH_ALL;
	vmcb->efer = EFER_SVME; /* VMRUN demands it in the guest's too (15.5.1) */
	vmcb->dr6 = DR6_INIT;
	vmcb->dr7 = 0x400;
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->g_pat = cpu->pat_at_switch = rdmsr(MSR_PAT); /* zero would mean: all uncached */
	vmcb->ldtr = (struct vmcb_segment){ 0, LDT, 0xffff, 0 };
	vmcb->tr = (struct vmcb_segment){ 0, TSS_BUSY, 0xffff, 0 };
	memset(&cpu->regs, 0, sizeof(cpu->regs));
	memset(&cpu->nmi, 0, sizeof(cpu->nmi));
	cpu->translating = cpu->guarded_msrs = cpu->watching_cr3 = cpu->cr3_watched = cpu->step_aside = false;
	cpu->mode = SCRIM_BACKEND_NATIVE;
	if (cpu->v2m)
		v2m_stop(cpu->v2m);
	return vmcb;
}

void svm_reset_to_entry(struct cpu *cpu, const struct guest_entry *entry)
{
	const struct vmcb_segment data = { 0x18, FLAT_DATA32, 0xffffffff, 0 };
	struct vmcb *vmcb = reset(cpu);

	vmcb->cr0 = CR0_PE | CR0_ET;
	vmcb->cs = (struct vmcb_segment){ 0x10, FLAT_CODE32, 0xffffffff, 0 };
	vmcb->ds = vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = data;
	vmcb->gdtr = (struct vmcb_segment){ .limit = entry->gdt_bytes - 1u, .base = entry->gdt };
	vmcb->rip = entry->rip;
	vmcb->rax = entry->rax;
	vmcb->rsp = entry->rsp;
	cpu->regs.rbx = entry->rbx;
	cpu->regs.rsi = entry->rsi;
}

void svm_reset_to_startup(struct cpu *cpu, uint8_t vector)
{
	const struct vmcb_segment data = { 0, REAL_DATA, 0xffff, 0 };
	struct vmcb *vmcb = reset(cpu);

	/* AMD APM vol. 2, table 14-1, after INIT; caches as firmware left them, on. */
	vmcb->cr0 = CR0_ET;
	vmcb->cs = (struct vmcb_segment){ (uint16_t)(vector << 8), REAL_CODE, 0xffff, (uint64_t)vector << 12 };
	vmcb->ds = vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = data;
	vmcb->gdtr.limit = vmcb->idtr.limit = 0xffff;
	cpu->regs.rdx = cpuid(1, 0).eax;
}

void svm_flush(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	if (vmcb->tlb_control == TLB_KEEP)
		__atomic_fetch_add(&machine.count.flushes, 1, __ATOMIC_RELAXED);
	vmcb->tlb_control = TLB_FLUSH_ALL;
}

/*
 * With nested paging the OS's PAT lives in G_PAT, without it in the MSR (15.25.8), so it moves with every switch. A
 * machine that keeps just one PAT for both (QEMU) has by then written the OS's new value into the MSR itself: then that is it.
 */
static void move_pat(struct cpu *cpu, bool to_guest)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	uint64_t pat = rdmsr(MSR_PAT);

	if (to_guest)
		vmcb->g_pat = cpu->pat_at_switch = pat;
	else if (cpu->pat_at_switch == pat)
		wrmsr(MSR_PAT, vmcb->g_pat);
}

static void choose_msrpm(const struct cpu *cpu)
{
	const uint8_t *map = cpu->mode == SCRIM_BACKEND_NATIVE ? msrpm : msrpm_translating;

	svm_vmcb(cpu)->msrpm_base = (uint64_t)(uintptr_t)(cpu->guarded_msrs ? msrpm_guard : map);
}

void svm_set_backend(struct cpu *cpu, enum scrim_backend to)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	bool was_nested = cpu->mode == SCRIM_BACKEND_NESTED, nested = to == SCRIM_BACKEND_NESTED;

	if (svm_is_v2m(cpu))
		svm_leave_v2m(cpu);
	if (was_nested != nested)
		move_pat(cpu, nested);
	/* Under V2M tables not used, but there for who looks from outside: these tables follow the map as well. */
	vmcb->nested_cr3 = to != SCRIM_BACKEND_NATIVE ? machine.xlat.root : 0;
	vmcb->nested_control = nested ? NESTED_ENABLE : 0;
	cpu->mode = to;
	if (shadow_is_v2m(to))
		svm_enter_v2m(cpu, to == SCRIM_BACKEND_SHADOW ? V2M_KEPT_SHADOW : V2M_KEPT_VTLB);
	svm_set_intercepts(cpu);
	choose_msrpm(cpu);
	svm_flush(cpu); /* nothing cached in one mode means anything in the other */
}

/* Exits of V2M tables; set and taken away together. */
static void intercept_paging(struct cpu *cpu, bool on)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	/* What the OS says to its TLB, and what steps aside: changes of paging that are not often. */
	const uint32_t paging = INTERCEPT_INVLPG | INTERCEPT_CR0_SELECTIVE | INTERCEPT_TASK_SWITCH;

	vmcb->intercept1 = on ? vmcb->intercept1 | paging : vmcb->intercept1 & ~paging;
	vmcb->intercept3 = on && has_invpcid() ? INTERCEPT_INVPCID : 0; /* another way to speak to the TLB */
	vmcb->intercept_cr_read = 0;
	if (on) /* the VMCB's CR3 is V2M's; its CR4 may have PAE where the OS has not */
		vmcb->intercept_cr_read = INTERCEPT_CR3_READ | (vmcb->cr4 != cpu->guest_cr4 ? INTERCEPT_CR4_READ : 0);
}

void svm_set_intercepts(struct cpu *cpu)
{
	struct vmcb *vmcb = svm_vmcb(cpu);
	bool v2m = svm_is_v2m(cpu);
	/* It has stepped aside: with its next CR3 load at the latest it comes back. */
	bool aside = cpu->mode == SCRIM_BACKEND_NESTED && cpu->memory_on && shadow_is_v2m(cpu->backend);

	/*
	 * CR3 loads: where a starting CPU arrives in the OS, or where an OS that has emptied its IDT hands over to another.
	 * LIDT: leads to the latter; needless while CR3 loads are watched anyway. An OS in its stride executes no LIDT.
	 */
	vmcb->intercept_cr_write = cpu->cr3_watched || v2m || aside ? INTERCEPT_CR3_WRITE : 0;
	if (v2m)
		vmcb->intercept_cr_write |= INTERCEPT_CR4_WRITE;
	vmcb->intercept1 = cpu->cr3_watched ? vmcb->intercept1 & ~INTERCEPT_IDTR_WRITE : vmcb->intercept1 | INTERCEPT_IDTR_WRITE;
	intercept_paging(cpu, v2m);
	vmcb->intercept_exceptions = v2m ? INTERCEPT_PF : 0;
	if (cpu->nmi.stepping)
		vmcb->intercept_exceptions |= INTERCEPT_DB | INTERCEPT_IRET_FAULTS;
}

void svm_intercept_apic_msrs(struct cpu *cpu, bool on)
{
	cpu->guarded_msrs = on;
	choose_msrpm(cpu);
}

void svm_intercept_cr3_load(struct cpu *cpu, bool on)
{
	cpu->cr3_watched = on;
	svm_set_intercepts(cpu);
}

void svm_skip(struct cpu *cpu, uint64_t next_rip)
{
	struct vmcb *vmcb = svm_vmcb(cpu);

	vmcb->rip = next_rip;
	vmcb->interrupt_shadow = 0;
	vmcb->rflags &= ~RFLAGS_RF;
	if (vmcb->rflags & RFLAGS_TF) {
		vmcb->dr6 |= DR6_BS;
		svm_inject_exception(cpu, VECTOR_DB, false);
	}
}

void svm_inject_exception(struct cpu *cpu, uint32_t vector, bool has_error)
{
	svm_vmcb(cpu)->event_injection = EVENT_MAKE(EVENT_TYPE_EXCEPTION, vector) | (has_error ? EVENT_HAS_ERROR : 0);
}
