/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads firmware's tables where they lie; owns nothing. Every length of theirs is bounded before it is followed. */
#include "hw/acpi.h"

#include "base/bytes.h"
#include "base/str.h"
#include "hw/apic.h"

#define TABLE_BYTES_MAX MIB(4)
#define BELOW_4G(address, bytes) ((address) && (address) < GIB(4) && (bytes) < GIB(4) - (address))

struct sdt {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} PACKED;
_Static_assert(sizeof(struct sdt) == 36, "ACPI 6.5, 5.2.6");

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} PACKED;
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 6.5, 5.2.5.3");

#define RSDP_V1_BYTES 20u
#define FADT_DSDT 40u
#define FADT_X_DSDT 140u
#define MADT_ENTRIES 44u
#define MADT_LOCAL_APIC 0u
#define MADT_LOCAL_X2APIC 9u
#define MADT_ENABLED 1u

static uint64_t search_rsdp(uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at + RSDP_V1_BYTES <= end; at += 16) {
		const uint8_t *p = (const uint8_t *)(uintptr_t)at;
		if (!memcmp(p, "RSD PTR ", 8) && !sum_u8(p, RSDP_V1_BYTES))
			return at;
	}
	return 0;
}

/* ACPI 6.5, 5.2.5.1: the first KiB of the EBDA, then the BIOS area. */
static uint64_t find_rsdp(void)
{
	const uint16_t *segment = (const uint16_t *)0x40e; /* where the BIOS data area keeps the EBDA's */
	uint64_t found = 0;

	__asm__("" : "+r"(segment)); /* or the compiler takes so low an address for a null pointer's offset */
	uint64_t ebda = (uint64_t)*segment << 4;

	if (ebda >= 0x80000 && ebda < 0xa0000)
		found = search_rsdp(ebda, ebda + 1024);
	return found ? found : search_rsdp(0xe0000, 0x100000);
}

static struct sdt *table_at(uint64_t address)
{
	if (!BELOW_4G(address, sizeof(struct sdt)))
		return NULL;
	struct sdt *table = (struct sdt *)(uintptr_t)address;
	if (table->length < sizeof(struct sdt) || table->length > TABLE_BYTES_MAX || !BELOW_4G(address, table->length))
		return NULL;
	return table;
}

/* The n-th table of this signature, or NULL. XSDT first where there is one (ACPI 6.5, 5.2.8). */
static struct sdt *find_table(const struct rsdp *root, const char *signature, uint32_t n)
{
	bool wide = root->revision >= 2 && table_at(root->xsdt);
	const struct sdt *list = table_at(wide ? root->xsdt : root->rsdt);
	uint32_t entry_bytes = wide ? 8 : 4;

	if (!list)
		return NULL;
	for (uint32_t at = sizeof(*list); at + entry_bytes <= list->length; at += entry_bytes) {
		uint64_t address = 0;
		memcpy(&address, (const uint8_t *)list + at, entry_bytes);
		struct sdt *table = table_at(address);
		if (table && !memcmp(table->signature, signature, 4) && n-- == 0)
			return table;
	}
	return NULL;
}

static void add_cpu(struct acpi_machine *out, uint32_t apic_id, uint32_t flags)
{
	if (!(flags & MADT_ENABLED))
		return;
	for (uint32_t i = 0; i < out->cpu_count; i++)
		if (out->apic_id[i] == apic_id)
			return; /* listed in both forms */
	if (apic_id >= ACPI_CPUS_MAX || out->cpu_count == ACPI_CPUS_MAX)
		out->id_too_large = true;
	else
		out->apic_id[out->cpu_count++] = apic_id;
}

static void read_madt(const struct sdt *madt, struct acpi_machine *out)
{
	const uint8_t *bytes = (const uint8_t *)madt;

	for (uint32_t at = MADT_ENTRIES; at + 2 <= madt->length && bytes[at + 1] >= 2; at += bytes[at + 1]) {
		uint32_t flags, id;
		if (at + bytes[at + 1] > madt->length)
			break;
		if (bytes[at] == MADT_LOCAL_APIC && bytes[at + 1] >= 8) {
			memcpy(&flags, bytes + at + 4, 4);
			add_cpu(out, bytes[at + 3], flags);
		} else if (bytes[at] == MADT_LOCAL_X2APIC && bytes[at + 1] >= 16) {
			memcpy(&id, bytes + at + 4, 4);
			memcpy(&flags, bytes + at + 8, 4);
			add_cpu(out, id, flags);
		}
	}
}

static bool read_root(uint64_t address, struct rsdp *root)
{
	memset(root, 0, sizeof(*root));
	if (!BELOW_4G(address, sizeof(*root)))
		return false;
	memcpy(root, (const void *)(uintptr_t)address, RSDP_V1_BYTES);
	if (root->revision >= 2)
		memcpy(root, (const void *)(uintptr_t)address, sizeof(*root));
	return true;
}

void acpi_read(const uint8_t *rsdp_copy, uint32_t bytes, struct acpi_machine *out)
{
	struct rsdp root;

	memset(out, 0, sizeof(*out));
	out->rsdp = bytes >= RSDP_V1_BYTES ? (uint64_t)(uintptr_t)rsdp_copy : find_rsdp();
	const struct sdt *madt = read_root(out->rsdp, &root) ? find_table(&root, "APIC", 0) : NULL;
	if (madt)
		read_madt(madt, out);
	if (!out->cpu_count)
		out->apic_id[out->cpu_count++] = apic_id_by_cpuid();
}

static struct sdt *find_dsdt(const struct rsdp *root)
{
	const struct sdt *fadt = find_table(root, "FACP", 0);
	uint32_t dsdt = 0;
	uint64_t x_dsdt = 0;

	if (!fadt || fadt->length < FADT_DSDT + 4)
		return NULL;
	memcpy(&dsdt, (const uint8_t *)fadt + FADT_DSDT, 4);
	if (fadt->length >= FADT_X_DSDT + 8)
		memcpy(&x_dsdt, (const uint8_t *)fadt + FADT_X_DSDT, 8);
	return table_at(x_dsdt ? x_dsdt : dsdt);
}

/* Renames _S3_ in one table of AML. */
static bool hide_in(struct sdt *table)
{
	/* NameOp, then the name: Name (_S3_, ...) in the root or in \ (ACPI 6.5, 20.2.5.1 and 7.4.2.4). */
	static const uint8_t plain[] = { 0x08, '_', 'S', '3', '_' }, rooted[] = { 0x08, '\\', '_', 'S', '3', '_' };
	uint8_t *aml = (uint8_t *)table;
	bool found = false;

	for (uint32_t at = sizeof(*table); at + sizeof(rooted) <= table->length; at++) {
		uint32_t skip = !memcmp(aml + at, plain, sizeof(plain)) ? 1 : !memcmp(aml + at, rooted, sizeof(rooted)) ? 2 : 0;
		if (!skip)
			continue;
		aml[at + skip + 3] = 'X'; /* _S3X: a name that nobody asks for */
		table->checksum = (uint8_t)(table->checksum - ('X' - '_'));
		found = true;
	}
	return found;
}

bool acpi_hide_s3(const struct acpi_machine *machine)
{
	struct rsdp root;
	struct sdt *table;

	if (!read_root(machine->rsdp, &root))
		return false;
	table = find_dsdt(&root);
	bool found = table && hide_in(table);
	for (uint32_t n = 0; (table = find_table(&root, "SSDT", n)) != NULL; n++)
		found |= hide_in(table);
	return found;
}

uint8_t *acpi_find_table(const struct acpi_machine *machine, const char *signature, uint32_t *bytes)
{
	struct rsdp root;
	struct sdt *table = read_root(machine->rsdp, &root) ? find_table(&root, signature, 0) : NULL;

	*bytes = table ? table->length : 0;
	return (uint8_t *)table;
}

void acpi_hide_table(uint8_t *table)
{
	struct sdt *head = (struct sdt *)(void *)table;

	head->checksum = (uint8_t)(head->checksum + (uint8_t)head->signature[0] - 'X');
	head->signature[0] = 'X';
}
