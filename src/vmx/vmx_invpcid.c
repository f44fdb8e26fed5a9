/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INVPCID under V2M: what the OS says to the TLB is said to the tables. Where its descriptor cannot be read as it stands, or the code is not 64-bit, the
 * CPU steps aside and executes the instruction itself: its fault, if it is one, is the hardware's.
 */
#include "base/str.h"
#include "hw/descriptors.h"
#include "virt/guest_memory.h"
#include "vmx/vmx.h"
#include "xlat/v2m.h"

/* SDM vol. 2, INVPCID. */
#define DESCRIPTOR_PCID 0xfffull
#define DESCRIPTOR_BYTES 16u

struct descriptor {
	uint64_t pcid, linear;
};

_Static_assert(sizeof(struct descriptor) == DESCRIPTOR_BYTES, "as it lies in memory");

/* Of the memory operand (27.2.5): the qualification has the displacement, with RIP in it where the operand is relative to that. */
static uint64_t operand_address(const struct cpu *cpu, uint32_t info)
{
	enum vmcs_segment segment = INSN_INFO_SEGMENT(info);
	uint64_t address = vmx_read(VMCS_EXIT_QUALIFICATION);

	if (!(info & INSN_INFO_NO_BASE))
		address += vmx_register(cpu, INSN_INFO_BASE(info));
	if (!(info & INSN_INFO_NO_INDEX))
		address += vmx_register(cpu, INSN_INFO_INDEX(info)) << INSN_INFO_SCALE(info);
	if (segment == VMCS_FS || segment == VMCS_GS)
		address += vmx_read(VMCS_GUEST_BASE(segment));
	return address;
}

static bool is_canonical(const struct guest_paging *paging, uint64_t linear)
{
	uint32_t unused = paging->cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

static bool read_descriptor(const struct cpu *cpu, const struct guest_paging *paging, uint64_t linear, struct descriptor *descriptor)
{
	uint8_t *to = (uint8_t *)descriptor;

	if (!is_canonical(paging, linear) || !is_canonical(paging, linear + DESCRIPTOR_BYTES - 1))
		return false;

	for (uint32_t done = 0, piece; done < DESCRIPTOR_BYTES; done += piece) {
		uint64_t in_page = PAGE_SIZE - ((linear + done) & PAGE_MASK);
		const uint8_t *from = guest_memory_readable(cpu, linear + done);
		if (!from)
			return false;
		piece = DESCRIPTOR_BYTES - done < in_page ? DESCRIPTOR_BYTES - done : (uint32_t)in_page;
		memcpy(to + done, from, piece);
	}
	return true;
}

static bool is_valid(const struct guest_paging *paging, uint64_t type, const struct descriptor *descriptor)
{
	bool names_pcid = type == V2M_INVPCID_ADDRESS || type == V2M_INVPCID_PCID;

	if (type >= V2M_INVPCID_TYPES || descriptor->pcid & ~DESCRIPTOR_PCID)
		return false;
	if (names_pcid && descriptor->pcid && !(paging->cr4 & CR4_PCIDE))
		return false;
	return type != V2M_INVPCID_ADDRESS || is_canonical(paging, descriptor->linear);
}

void vmx_on_invpcid(struct cpu *cpu)
{
	const struct guest_paging paging = vmx_paging(cpu);
	uint32_t info = (uint32_t)vmx_read(VMCS_EXIT_INSN_INFO);
	uint64_t type = vmx_register(cpu, INSN_INFO_REGISTER(info));
	struct descriptor descriptor;

	if (!vmx_is_64bit_code() || INSN_INFO_ADDRESS_SIZE(info) != INSN_INFO_ADDRESS_64 ||
	    !read_descriptor(cpu, &paging, operand_address(cpu, info), &descriptor)) {
		cpu->step_aside = true;
		return;
	}
	if (!is_valid(&paging, type, &descriptor)) {
		vmx_inject_exception(VECTOR_GP, true);
		return;
	}
	if (v2m_invpcid(cpu->v2m, (enum v2m_invpcid)type, (uint32_t)descriptor.pcid, descriptor.linear))
		vmx_flush_address(cpu, descriptor.linear);
	vmx_flush_if_due(cpu);
	vmx_skip();
}
