/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the VMX instructions as functions (Intel SDM vol. 3, chapter 30). Names are the manual's. Addresses are machine addresses of pages. */
#pragma once

#include "vmx/vmcs.h"

/* How each of them ends (30.2). */
enum vmx_result {
	VMX_SUCCEEDED,
	VMX_FAILED,       /* CF: there is no current VMCS, or (VMXON, VMPTRLD, VMCLEAR) none to be had there */
	VMX_FAILED_VALID, /* ZF: VMCS_INSN_ERROR of the current VMCS says why */
};

static inline enum vmx_result vmx_result(bool carry, bool zero)
{
	return carry ? VMX_FAILED : zero ? VMX_FAILED_VALID : VMX_SUCCEEDED;
}

/* The region's first word has the revision of VMX_BASIC; CR4.VMXE is set. */
static inline enum vmx_result MUST_CHECK vmxon(uint64_t region)
{
	bool carry, zero;
	__asm__ volatile("vmxon %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region) : "memory");
	return vmx_result(carry, zero);
}

static inline enum vmx_result MUST_CHECK vmxoff(void)
{
	bool carry, zero;
	__asm__ volatile("vmxoff" : "=@ccc"(carry), "=@ccz"(zero) : : "memory");
	return vmx_result(carry, zero);
}

/* The VMCS is written back to memory, is current nowhere, and its next entry is VMLAUNCH. */
static inline enum vmx_result MUST_CHECK vmclear(uint64_t vmcs)
{
	bool carry, zero;
	__asm__ volatile("vmclear %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(vmcs) : "memory");
	return vmx_result(carry, zero);
}

static inline enum vmx_result MUST_CHECK vmptrld(uint64_t vmcs)
{
	bool carry, zero;
	__asm__ volatile("vmptrld %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(vmcs) : "memory");
	return vmx_result(carry, zero);
}

/* VMX_FAILED_VALID: the CPU has no such field. *value is undefined then. */
static inline enum vmx_result MUST_CHECK vmread(enum vmcs_field field, uint64_t *value)
{
	bool carry, zero;
	__asm__ volatile("vmread %3, %0" : "=r"(*value), "=@ccc"(carry), "=@ccz"(zero) : "r"((uint64_t)field) : "memory");
	return vmx_result(carry, zero);
}

static inline enum vmx_result MUST_CHECK vmwrite(enum vmcs_field field, uint64_t value)
{
	bool carry, zero;
	__asm__ volatile("vmwrite %3, %2" : "=@ccc"(carry), "=@ccz"(zero) : "r"((uint64_t)field), "r"(value) : "memory");
	return vmx_result(carry, zero);
}

/* What INVEPT forgets (28.3.3.1): guest-physical and combined translations. */
enum invept_type { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };

/* SINGLE: of this EPT pointer. VMX_FAILED_VALID: the CPU has no such type. */
static inline enum vmx_result MUST_CHECK invept(enum invept_type type, uint64_t ept_pointer)
{
	const uint64_t descriptor[2] = { ept_pointer, 0 };
	bool carry, zero;
	__asm__ volatile("invept %2, %3" : "=@ccc"(carry), "=@ccz"(zero) : "m"(descriptor), "r"((uint64_t)type) : "memory");
	return vmx_result(carry, zero);
}

/* What INVVPID forgets: linear and combined translations. */
enum invvpid_type { INVVPID_ADDRESS = 0, INVVPID_SINGLE = 1, INVVPID_ALL = 2 };

/* SINGLE: of this VPID, which is not 0; ADDRESS: of one canonical address in it. VMX_FAILED_VALID: the CPU has no such type. */
static inline enum vmx_result MUST_CHECK invvpid(enum invvpid_type type, uint16_t vpid, uint64_t linear)
{
	const uint64_t descriptor[2] = { vpid, linear };
	bool carry, zero;
	__asm__ volatile("invvpid %2, %3" : "=@ccc"(carry), "=@ccz"(zero) : "m"(descriptor), "r"((uint64_t)type) : "memory");
	return vmx_result(carry, zero);
}
