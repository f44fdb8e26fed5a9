/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing. */
#include "virt/exit.h"

#include "hw/apic.h"
#include "hw/insn.h"
#include "hw/msr.h"
#include "virt/guard.h"
#include "virt/kick.h"
#include "virt/memvirt.h"
#include "virt/request.h"
#include "virt/shadow.h"
#include "virt/trace.h"

void exit_begin(struct cpu *self)
{
	__atomic_store_n(&self->in_vmm, 1, __ATOMIC_SEQ_CST);
	self->step_aside = false;
	guard_wait_held_off(self);
	self->exit_start_tsc = rdtsc();
}

/* But for what comes behind the last kick_serve(). */
static void record_exit(struct cpu *self, enum scrim_exit cause)
{
	if (!self->untraced)
		trace_record(self, SCRIM_TRACE_EXIT, cause, self->exit_start_tsc, rdtsc());
	self->untraced = false;
}

void exit_end(struct cpu *self, enum scrim_exit cause)
{
	self->exits[cause]++;
	if (self->step_aside && shadow_is_v2m(self->mode))
		shadow_step_aside(self);
	guard_apply(self);
	memvirt_tidy(self);
	if (trace_is_on())
		record_exit(self, cause);
	for (;;) {
		kick_serve(self);
		__atomic_store_n(&self->in_vmm, 0, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&self->request, __ATOMIC_SEQ_CST))
			return; /* kick.c has the race argument */
		__atomic_store_n(&self->in_vmm, 1, __ATOMIC_SEQ_CST);
	}
}

/* --- I/O --- */

/* The IN that is a request: registers in, registers out (abi/scrim_abi.h). */
static void on_request(struct cpu *self, uint64_t *rax)
{
	struct guest_registers *r = &self->regs;
	struct request request = { .eax = (uint32_t)*rax,
				   .argument = { (r->rcx << 32) | (uint32_t)r->rbx, (r->rdi << 32) | (uint32_t)r->rsi } };

	request_serve(self, &request);
	*rax = request.eax;
	if (request.result_count > 0) {
		r->rbx = (uint32_t)request.result[0];
		r->rcx = request.result[0] >> 32;
	}
	if (request.result_count < 2)
		return;
	r->rsi = (uint32_t)request.result[1];
	r->rdi = request.result[1] >> 32;
}

static void do_io(const struct exit_io *io, uint64_t *rax)
{
	uint32_t value = (uint32_t)*rax;

	if (io->bytes == 1) {
		if (io->is_in)
			*rax = (*rax & ~0xffull) | inb(io->port);
		else
			outb(io->port, (uint8_t)value);
	} else if (io->bytes == 2) {
		if (io->is_in)
			*rax = (*rax & ~0xffffull) | inw(io->port);
		else
			outw(io->port, (uint16_t)value);
	} else if (io->is_in) {
		*rax = inl(io->port);
	} else {
		outl(io->port, value);
	}
}

/* Just two ports exit, far apart: an access covers one of them. */
static bool is_cmos(uint16_t port) { return port <= CMOS_DATA_PORT; }

enum scrim_exit exit_io_cause(uint16_t port)
{
	return is_cmos(port) ? SCRIM_EXIT_CMOS : SCRIM_EXIT_REQUEST;
}

void exit_do_io(struct cpu *self, const struct exit_io *io, uint64_t *rax)
{
	if (is_cmos(io->port) && !io->is_in) /* the byte that the OUT puts there */
		guard_on_cmos_write(self, (uint8_t)(*rax >> 8 * (CMOS_DATA_PORT - io->port)));
	if (io->port == SCRIM_PORT && io->is_in && io->bytes == 4)
		on_request(self, rax);
	else
		do_io(io, rax);
}

/* --- EFER --- */

/*
 * Which bits the CPU takes, the CPU is asked: the OS's other bits are tried in Scrim's own EFER, to which they make no difference, and read
 * back, since some machines drop what they do not know.
 */
bool exit_write_efer(uint64_t cr0, uint64_t hidden, uint64_t value, uint64_t *efer)
{
	const uint64_t kept = EFER_LME | EFER_LMA | hidden; /* of Scrim's: long mode, and what the vendor needs */
	uint64_t own = rdmsr(MSR_EFER);

	if (value & hidden)
		return false; /* as the hardware answers where the feature is not there */
	if (cr0 & CR0_PG && (value ^ *efer) & EFER_LME)
		return false; /* long mode cannot be switched under paging (AMD APM vol. 2, 14.6) */
	if (!wrmsr_safe(MSR_EFER, (value & ~kept) | (own & kept)))
		return false;
	uint64_t taken = rdmsr(MSR_EFER) & ~kept;
	wrmsr(MSR_EFER, own);
	*efer = taken | (value & EFER_LME) | (*efer & EFER_LMA) | hidden;
	return true;
}

/* --- Memory --- */

/* AMD APM vol. 2, 3.1.2 and 5.3.2; Intel SDM vol. 3, 4.10.4.1. */
bool exit_is_cr3_valid(const struct guest_paging *paging, uint64_t value)
{
	uint64_t reserved = ~((1ull << machine.xlat.address_bits) - 1);

	if (paging->cr4 & CR4_PCIDE)
		reserved &= ~CR3_NO_FLUSH;
	return !(paging->efer & EFER_LMA) || !(value & reserved);
}

bool exit_is_apic_write(gfn_t page)
{
	/* Else it is a watch that takes the right to write. */
	return page.n == gfn_of_address(APIC_PAGE).n && (guard_traps_apic(page) || !watch_is_on(&machine.watch));
}
