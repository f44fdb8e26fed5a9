/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads of the machine-check banks (AMD APM vol. 2, 9.3; Intel SDM vol. 3, 15.3) while this CPU translates. An address there is a machine address; the OS is
 * given the physical address of the page that is in that frame now. Where none is, the status says that there is no address
 * (ADDRV clear), as it does for errors that have none, and the OS blames no page.
 *
 * AMD's scalable MCA has the same banks at other numbers, and a second address, of a deferred error. What a memory controller's bank has is no
 * machine address but a normalized one (the controller's own), from which the OS computes a machine address with the data fabric's
 * registers: it cannot be translated here, so it is said not to be there.
 */
#include "hw/insn.h"
#include "hw/msr.h"
#include "virt/machine_check.h"

#define BANK_MSRS       4u
#define SMCA_BANK_MSRS  16u
#define SMCA_BANKS      64u
#define STATUS_ADDRV    (1ull << 58)
/* SMCA: MCA_IPID says what a bank is of. */
#define SMCA_IPID       5u
#define SMCA_HWID(ipid) ((ipid) >> 32 & 0xfff)
#define SMCA_HWID_UMC   0x96u

/* One register of a bank that says something of an address. */
struct bank_register {
	uint32_t status, address; /* the MSRs */
	bool is_status;
	bool is_scalable;
	uint32_t ipid;
};

static bool find_legacy(uint32_t msr, struct bank_register *found)
{
	uint32_t offset = msr - MSR_MC0_CTL, base = msr - offset % BANK_MSRS;

	if (offset >= MC_BANKS_MAX * BANK_MSRS || (offset % BANK_MSRS != 1 && offset % BANK_MSRS != 2))
		return false;
	*found = (struct bank_register){ .status = base + 1, .address = base + 2, .is_status = offset % BANK_MSRS == 1 };
	return true;
}

static bool find_scalable(uint32_t msr, struct bank_register *found)
{
	uint32_t offset = msr - MSR_SMCA_MC0_CTL, in_bank = offset % SMCA_BANK_MSRS, base = msr - in_bank;

	if (offset >= SMCA_BANKS * SMCA_BANK_MSRS)
		return false;
	*found = (struct bank_register){ .is_scalable = true, .ipid = base + SMCA_IPID };
	if (in_bank == 1 || in_bank == 2) { /* MCA_STATUS, MCA_ADDR */
		found->status = base + 1;
		found->address = base + 2;
	} else if (in_bank == 8 || in_bank == 9) { /* MCA_DESTAT, MCA_DEADDR */
		found->status = base + 8;
		found->address = base + 9;
	} else {
		return false;
	}
	found->is_status = msr == found->status;
	return true;
}

static bool is_normalized(const struct bank_register *bank)
{
	uint64_t ipid;

	return bank->is_scalable && rdmsr_safe(bank->ipid, &ipid) && SMCA_HWID(ipid) == SMCA_HWID_UMC;
}

/* The bank's registers as the OS is to see them. */
static bool read_status(struct cpu *cpu, const struct bank_register *bank, uint64_t *value)
{
	uint64_t address;

	if (!rdmsr_safe(bank->status, value))
		return false;
	if (!(*value & STATUS_ADDRV) || !rdmsr_safe(bank->address, &address))
		return true;
	if (is_normalized(bank) || !machine_check_translate(cpu, &address))
		*value &= ~STATUS_ADDRV;
	return true;
}

static bool read_address(struct cpu *cpu, const struct bank_register *bank, uint64_t *value)
{
	uint64_t status;

	if (!rdmsr_safe(bank->address, value))
		return false;
	if (!rdmsr_safe(bank->status, &status) || !(status & STATUS_ADDRV))
		return true; /* whatever is there is no address */
	if (is_normalized(bank) || !machine_check_tell(cpu, value))
		*value = 0;
	return true;
}

bool machine_check_read(struct cpu *cpu, uint32_t msr, uint64_t *value, bool *ok)
{
	struct bank_register bank;

	if (!cpu->translating || (!find_legacy(msr, &bank) && !find_scalable(msr, &bank)))
		return false;
	*ok = bank.is_status ? read_status(cpu, &bank, value) : read_address(cpu, &bank, value);
	return true;
}
