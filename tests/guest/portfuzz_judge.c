/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the promises about registers: port_out against port_in. Knows nothing of what operations mean; that is the
 * model's.
 */
#include "portfuzz.h"

#include <string.h>

#define REG_RAX 0x01u
#define REG_RBX 0x02u
#define REG_RCX 0x04u
#define REG_RSI 0x10u
#define REG_RDI 0x20u

void judge_kept(struct fuzz *fuzz, unsigned except)
{
	static const char *const names[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp" };
	const uint64_t *in = &port_in.rax, *out = &port_out.rax;

	for (unsigned i = 0; i < 8; i++)
		if ((except >> i & 1) == 0 && in[i] != out[i])
			fuzz_fail(fuzz, "%s is not kept", names[i]);
	for (unsigned i = 0; i < 8; i++)
		if (port_in.r8_to_r15[i] != port_out.r8_to_r15[i])
			fuzz_fail(fuzz, "r%u is not kept", i + 8);
	if (port_in.rflags != port_out.rflags)
		fuzz_fail(fuzz, "flags are not kept: 0x%lx", port_out.rflags);
	if (memcmp(port_in.xmm, port_out.xmm, sizeof(port_in.xmm)) != 0)
		fuzz_fail(fuzz, "xmm registers are not kept");
}

void judge_refused(struct fuzz *fuzz)
{
	if (!fuzz->faulted)
		fuzz_fail(fuzz, "no SIGSEGV came");
	judge_kept(fuzz, 0);
}

static void judge_undecoded_string(struct fuzz *fuzz)
{
	const struct port_insn_kind *kind = fuzz->kind;
	uint64_t units = kind->rep ? port_in.rcx : 1;
	uint64_t step = (port_in.rflags & 0x400) != 0 ? (uint64_t)0 - kind->bytes : kind->bytes;
	uint64_t pointer_in = kind->out ? port_in.rsi : port_in.rdi,
		 pointer_out = kind->out ? port_out.rsi : port_out.rdi;

	judge_kept(fuzz, (kind->out ? REG_RSI : REG_RDI) | (kind->rep ? REG_RCX : 0));
	if (pointer_out != pointer_in + units * step || (kind->rep && port_out.rcx != 0))
		fuzz_fail(fuzz, "string I/O did not run to its end");
}

void judge_undecoded(struct fuzz *fuzz)
{
	const struct port_insn_kind *kind = fuzz->kind;
	uint64_t ones = kind->bytes == 4 ? UINT32_MAX : (1u << (8 * kind->bytes)) - 1;
	/* An IN of 32 bits zeroes the upper half; smaller ones keep what they do not read. */
	uint64_t rax = kind->bytes == 4 ? ones : port_in.rax | ones, port = port_in.rdx & UINT16_MAX;

	if (fuzz->faulted)
		fuzz_fail(fuzz, "SIGSEGV came");
	if (kind->string) {
		judge_undecoded_string(fuzz);
		return;
	}
	/* QEMU's undecoded ports answer an access across their alignment with 0. */
	if (port != SCRIM_PORT && port % kind->bytes != 0)
		rax &= kind->out || port_out.rax == rax ? UINT64_MAX : ~ones;
	if (!kind->out && port_out.rax != rax)
		fuzz_fail(fuzz, "rax is not what an undecoded port reads");
	judge_kept(fuzz, kind->out ? 0 : REG_RAX);
}

/* Result 0 of failures that tell something; the ABI leaves all else as it was. */
static unsigned judge_failure_results(uint64_t status)
{
	if (status == SCRIM_ESTATE || status == SCRIM_ECPU)
		return REG_RBX | REG_RCX;
	if (status == SCRIM_EINVARIANT)
		return REG_RBX | REG_RCX | REG_RSI | REG_RDI;
	return 0;
}

void judge_request(struct fuzz *fuzz, uint32_t allowed)
{
	unsigned results = REG_RBX | REG_RCX | REG_RSI | REG_RDI;
	uint64_t status = port_out.rax;

	if (fuzz->faulted) {
		fuzz_fail(fuzz, "SIGSEGV came");
		return;
	}
	if (status >= SCRIM_STATUS_COUNT) {
		fuzz_fail(fuzz, "rax is no status");
		return;
	}
	fuzz->statuses[status]++;
	if ((allowed >> status & 1) == 0)
		fuzz_fail(fuzz, "status %lu is not one of the set 0x%x", status, allowed);
	if (status != SCRIM_OK)
		results = judge_failure_results(status);
	judge_kept(fuzz, results | REG_RAX);
	if (((results & REG_RBX) != 0 && (port_out.rbx >> 32 != 0 || port_out.rcx >> 32 != 0)) ||
	    ((results & REG_RSI) != 0 && (port_out.rsi >> 32 != 0 || port_out.rdi >> 32 != 0)))
		fuzz_fail(fuzz, "upper halves of results are not zero");
	if (status == SCRIM_ESTATE && fuzz->known &&
	    (port_out.rcx != 0 || port_out.rbx != fuzz->now.info[SCRIM_INFO_STATE]))
		fuzz_fail(fuzz, "SCRIM_ESTATE tells another state than INFO");
	if (status == SCRIM_OK)
		model_check_results(fuzz);
}
