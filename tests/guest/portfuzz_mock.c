/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Scrim made of nothing, to test the fuzzer: without a right to the port every instruction faults, and the handler
 * of the fault answers as abi/scrim_abi.h says. SCRIM_MOCK_BUG=N in the environment breaks one promise, now and then; a
 * fuzzer that still ends with status 0 has missed it. Takes the place of portfuzz_access.c.
 */
#include "portfuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ucontext.h>

enum mock_bug {
	BUG_NONE = 0,
	BUG_UPPER_HALVES,   /* results keep the caller's upper halves */
	BUG_EDX,            /* edx is changed */
	BUG_OTHER_REGISTER, /* r12 is changed */
	BUG_FLAGS,
	BUG_XMM,
	BUG_FAILURE_WRITES, /* a failure changes esi */
	BUG_STATUS,         /* a status that there is not */
	BUG_STATE,          /* VIRTUALIZE with a wrong magic is carried out */
	BUG_MOVE,           /* a misaligned address outside RAM moves a page */
	BUG_STRING,         /* string I/O runs */
	BUG_IN2,            /* IN of 16 bits is taken for a request */
	BUG_OUT,            /* OUT writes eax */
	BUG_MAGIC,          /* the magic is not looked at */
	BUG_UPPER_ARGUMENT, /* upper halves of arguments are not ignored */
	BUG_INDEX,          /* INFO has one more than there are */
	BUG_RANGE,          /* a range that ends before it starts is managed, and pages of it are displaced */
	BUG_WATCHED_MOVE,   /* a watch does not keep the map as it is */
	BUG_WATCHES,        /* a second watch is begun */
	BUG_IMAGE_WRITES,   /* IMAGE_READ writes a page more than it says */
	BUG_IMAGE_COUNT,    /* IMAGE_READ tells of pages that cannot be written */
	BUG_IMAGE_LOST,     /* IMAGE_READ is answered without an image */
	BUG_DIRTY,          /* what is not RAM was written */
	BUG_COUNT
};

#define MOCK_CPUS  4u
#define MOCK_PAGES 0x8000u
#define RARELY     97u

static struct {
	uint64_t state, displaced, watch, requests;
} mock = { .state = SCRIM_NATIVE };

static bool mock_has(enum mock_bug bug)
{
	const char *text = getenv("SCRIM_MOCK_BUG");

	return text != NULL && atoi(text) == (int)bug && mock.requests % RARELY == 0;
}

bool port_access_open(void)
{
	const char *state = getenv("SCRIM_MOCK_STATE"), *watch = getenv("SCRIM_MOCK_WATCH");

	if (state != NULL)
		mock.state = (uint64_t)atoi(state);
	if (watch != NULL)
		mock.watch = (uint64_t)atoi(watch);
	/* Rights are inherited: here every instruction must fault and none may reach a port. */
	return ioperm(0, 65536, 0) == 0 || errno == ENOSYS; /* a kernel that gives no such rights has none to take */
}

struct mock_reply {
	enum scrim_status status;
	uint64_t result0, result1;
};

static struct mock_reply mock_info(uint64_t info)
{
	if (info >= SCRIM_INFO_COUNT + (mock_has(BUG_INDEX) ? 1u : 0u))
		return (struct mock_reply){ .status = SCRIM_EINVAL };
	switch (info) {
	case SCRIM_INFO_STATE:
		return (struct mock_reply){ .result0 = mock.state };
	case SCRIM_INFO_CPUS:
	case SCRIM_INFO_CPUS_IN_OS:
		return (struct mock_reply){ .result0 = MOCK_CPUS };
	case SCRIM_INFO_WATCH:
		return (struct mock_reply){ .result0 = mock.watch };
	case SCRIM_INFO_PAGES_DISPLACED:
		return (struct mock_reply){ .result0 = mock.displaced };
	case SCRIM_INFO_KICKS:
		return (struct mock_reply){ .result0 = mock.requests };
	default:
		return (struct mock_reply){ .result0 = info * 1000 };
	}
}

static struct mock_reply mock_range(uint64_t index, uint64_t kind)
{
	static const struct fuzz_range ram[] = { { 0, 0x9f000 }, { 0x100000, MOCK_PAGES * GUEST_PAGE_SIZE } };

	if (kind == SCRIM_RANGE_RAM && index < 2)
		return (struct mock_reply){ .result0 = ram[index].start, .result1 = ram[index].end };
	return (struct mock_reply){ .status = SCRIM_EINVAL };
}

static struct mock_reply mock_address(uint64_t address)
{
	uint64_t page = address / GUEST_PAGE_SIZE;

	if (address % GUEST_PAGE_SIZE != 0)
		return (struct mock_reply){ .status = SCRIM_EALIGN };
	if (page >= MOCK_PAGES || (page >= 0x9f && page < 0x100))
		return (struct mock_reply){ .status = SCRIM_ENOTRAM };
	return (struct mock_reply){ .result0 = address };
}

static struct mock_reply mock_state_op(uint32_t op, uint64_t argument0, uint64_t argument1)
{
	struct mock_reply reply = mock_address(argument0);
	bool good = op == SCRIM_OP_VIRTUALIZE ? argument0 <= 1 && argument1 <= SCRIM_BACKEND_VTLB
						   : argument0 % GUEST_PAGE_SIZE < SCRIM_REMAP_COUNT && (argument0 < GUEST_PAGE_SIZE || argument1 != 0);

	if ((op == SCRIM_OP_VIRTUALIZE || op == SCRIM_OP_DEVIRTUALIZE) && !good)
		return (struct mock_reply){ .status = SCRIM_EINVAL };
	/* Nothing is managed here, so that no portion can come home. */
	if (op == SCRIM_OP_DEVIRTUALIZE && mock.state == SCRIM_VIRTUALIZED && argument1 != 0)
		return (struct mock_reply){ .status = argument1 % GUEST_PAGE_SIZE != 0 ? SCRIM_EALIGN : SCRIM_EINVAL };
	if ((op == SCRIM_OP_MOVE || op == SCRIM_OP_RETIRE) && mock.state == SCRIM_VIRTUALIZED) {
		if (mock.watch != SCRIM_WATCH_NONE && !mock_has(BUG_WATCHED_MOVE))
			return (struct mock_reply){ .status = SCRIM_EWATCH };
		if (reply.status == SCRIM_OK || mock_has(BUG_MOVE))
			mock.displaced++;
		return reply;
	}
	if ((op == SCRIM_OP_VIRTUALIZE && mock.state <= SCRIM_NATIVE) ||
	    (op == SCRIM_OP_DEVIRTUALIZE && mock.state == SCRIM_VIRTUALIZED)) {
		mock.state = op == SCRIM_OP_VIRTUALIZE ? SCRIM_COMMENCING : SCRIM_CEASING;
		return (struct mock_reply){ .status = SCRIM_OK };
	}
	/* Valid steps are never sent. */
	if (op == SCRIM_OP_STEP && mock.state == SCRIM_REMAPPING)
		return (struct mock_reply){ .status = SCRIM_EINVAL };
	return (struct mock_reply){ .status = SCRIM_ESTATE, .result0 = mock.state };
}

/* Operations on ranges are sent with something wrong, all others of these in states where they are refused, or with a
 * number too large. */
static struct mock_reply mock_ranged(uint32_t op, uint64_t argument0, uint64_t argument1)
{
	bool ranged = op == SCRIM_OP_MANAGE || op == SCRIM_OP_AIM || op == SCRIM_OP_LEND || op == SCRIM_OP_UNLEND;

	if (ranged && argument1 <= argument0 && mock_has(BUG_RANGE))
		mock.displaced++;
	if (ranged && ((argument0 | argument1) % GUEST_PAGE_SIZE) != 0)
		return (struct mock_reply){ .status = SCRIM_EALIGN };
	if (ranged && argument1 <= argument0)
		return (struct mock_reply){ .status = SCRIM_EINVAL };
	if ((op == SCRIM_OP_AIM && mock.state != SCRIM_VIRTUALIZED) ||
	    (op == SCRIM_OP_MANAGE && mock.state != SCRIM_COMMENCING && mock.state != SCRIM_VIRTUALIZED) ||
	    ((op == SCRIM_OP_LEND || op == SCRIM_OP_UNLEND) && mock.state > SCRIM_NATIVE &&
	     mock.state != SCRIM_VIRTUALIZED))
		return (struct mock_reply){ .status = SCRIM_ESTATE, .result0 = mock.state };
	if (mock.state == SCRIM_VIRTUALIZED && mock.watch != SCRIM_WATCH_NONE && op != SCRIM_OP_PAUSED)
		return (struct mock_reply){ .status = SCRIM_EWATCH };
	if (ranged)
		return (struct mock_reply){ .status = op == SCRIM_OP_UNLEND ? SCRIM_EINVAL : SCRIM_ENOTRAM };
	if (mock.state == SCRIM_VIRTUALIZED && op != SCRIM_OP_PAUSED)
		return (struct mock_reply){ .status = SCRIM_EINVAL };
	return (struct mock_reply){ .status = SCRIM_ESTATE, .result0 = mock.state };
}

/* --- watches --- */

static struct mock_reply mock_watch(uint64_t kind)
{
	if (kind >= SCRIM_WATCH_COUNT)
		return (struct mock_reply){ .status = SCRIM_EINVAL };
	if (kind != SCRIM_WATCH_NONE && mock.state != SCRIM_VIRTUALIZED)
		return (struct mock_reply){ .status = SCRIM_ESTATE, .result0 = mock.state };
	/* To end one, or to begin the first, is never asked for. */
	if (kind != SCRIM_WATCH_NONE && !mock_has(BUG_WATCHES))
		return (struct mock_reply){ .status = SCRIM_EWATCH };
	return (struct mock_reply){ .status = SCRIM_OK };
}

static struct mock_reply mock_image_read(uint64_t argument0, uint64_t target)
{
	uint64_t pages = argument0 % GUEST_PAGE_SIZE & ~(uint64_t)SCRIM_IMAGE_KEEP, done = watch_writable(target, pages);

	if (pages < 1 || pages > SCRIM_IMAGE_READ_MAX)
		return (struct mock_reply){ .status = SCRIM_EINVAL };
	if (target % GUEST_PAGE_SIZE != 0)
		return (struct mock_reply){ .status = SCRIM_EALIGN };
	if (mock.watch != SCRIM_WATCH_IMAGE && !mock_has(BUG_IMAGE_LOST))
		return (struct mock_reply){ .status = SCRIM_ESTATE, .result0 = mock.state };
	for (uint64_t i = 0; i < pages; i++)
		if (mock_address((argument0 & ~(uint64_t)(GUEST_PAGE_SIZE - 1)) + i * GUEST_PAGE_SIZE).status != SCRIM_OK)
			return (struct mock_reply){ .status = SCRIM_ENOTRAM };
	memset((void *)(uintptr_t)target, 0, watch_writable(target, done + mock_has(BUG_IMAGE_WRITES)) * GUEST_PAGE_SIZE);
	if (mock_has(BUG_IMAGE_COUNT))
		return (struct mock_reply){ .status = SCRIM_OK, .result0 = pages };
	return (struct mock_reply){ .status = done > 0 ? SCRIM_OK : SCRIM_EFAULT, .result0 = done };
}

static struct mock_reply mock_dirty(uint64_t address)
{
	if (address % (SCRIM_DIRTY_PAGES * GUEST_PAGE_SIZE) != 0)
		return (struct mock_reply){ .status = SCRIM_EALIGN };
	if (mock.watch != SCRIM_WATCH_DIRTY)
		return (struct mock_reply){ .status = SCRIM_ESTATE, .result0 = mock.state };
	return (struct mock_reply){ .result0 = mock_has(BUG_DIRTY) };
}

static struct mock_reply mock_reply_to(uint32_t eax, uint64_t argument0, uint64_t argument1)
{
	bool valid = argument0 < MOCK_CPUS;

	if ((eax & 0xffff0000u) != SCRIM_MAGIC && !mock_has(BUG_MAGIC)) {
		if (mock_has(BUG_STATE) && (eax & 0xffffu) == SCRIM_OP_VIRTUALIZE)
			mock.state = SCRIM_VIRTUALIZED;
		return (struct mock_reply){ .status = SCRIM_EBADREQ };
	}
	switch (eax & 0xffffu) {
	case SCRIM_OP_VERSION:
		return (struct mock_reply){ .result0 = SCRIM_ABI_VERSION };
	case SCRIM_OP_INFO:
		return mock_info(argument0);
	case SCRIM_OP_CPU_INFO:
		valid = valid && argument1 < SCRIM_CPU_INFO_COUNT;
		return (struct mock_reply){ .status = valid ? SCRIM_OK : SCRIM_EINVAL };
	case SCRIM_OP_CPU_EXITS:
		valid = valid && argument1 < SCRIM_EXIT_COUNT;
		return (struct mock_reply){ .status = valid ? SCRIM_OK : SCRIM_EINVAL };
	case SCRIM_OP_RANGE:
		return mock_range(argument0, argument1);
	case SCRIM_OP_CENSUS:
		if (((argument0 | argument1) & (GUEST_PAGE_SIZE - 1)) != 0)
			return (struct mock_reply){ .status = SCRIM_EALIGN };
		valid = argument0 < argument1 && argument1 - argument0 <= SCRIM_CENSUS_MAX;
		return (struct mock_reply){ .status = valid ? SCRIM_OK : SCRIM_EINVAL };
	case SCRIM_OP_TRACE:
		return (struct mock_reply){ .status = argument0 < SCRIM_TRACE_ORDER_COUNT ? SCRIM_OK : SCRIM_EINVAL };
	case SCRIM_OP_TRACE_READ:
		return (struct mock_reply){ .status = valid ? SCRIM_OK : SCRIM_EINVAL };
	case SCRIM_OP_VISIT:
	case SCRIM_OP_CHECK:
		return (struct mock_reply){ .status = SCRIM_OK };
	case SCRIM_OP_VIRTUALIZE:
	case SCRIM_OP_ABORT:
	case SCRIM_OP_DEVIRTUALIZE:
	case SCRIM_OP_STEP:
	case SCRIM_OP_MOVE:
	case SCRIM_OP_RETIRE:
		return mock_state_op(eax & 0xffffu, argument0, argument1);
	case SCRIM_OP_TRANSLATE:
		return mock_address(argument0);
	case SCRIM_OP_WATCH:
		return mock_watch(argument0);
	case SCRIM_OP_IMAGE_READ:
		return mock_image_read(argument0, argument1);
	case SCRIM_OP_IMAGE_CPU:
		return (struct mock_reply){ .status = valid && argument1 < SCRIM_REG_COUNT ? SCRIM_OK : SCRIM_EINVAL };
	case SCRIM_OP_DIRTY:
		return mock_dirty(argument0);
	case SCRIM_OP_MACHINE_CHECK:
		return (struct mock_reply){ .status = SCRIM_EINVAL };
	default:
		if ((eax & 0xffffu) >= SCRIM_OP_COUNT)
			return (struct mock_reply){ .status = SCRIM_EBADREQ };
		return mock_ranged(eax & 0xffffu, argument0, argument1);
	}
}

static void mock_write(greg_t *reg, uint64_t value)
{
	uint64_t kept = mock_has(BUG_UPPER_HALVES) ? (uint64_t)*reg & ~(uint64_t)UINT32_MAX : 0;

	*reg = (greg_t)(kept | (uint32_t)value);
}

static void mock_request(greg_t *gregs)
{
	uint64_t upper = mock_has(BUG_UPPER_ARGUMENT) ? (uint64_t)gregs[REG_RBX] >> 32 : 0;
	uint64_t argument0 = ((uint64_t)gregs[REG_RCX] << 32 | (uint32_t)gregs[REG_RBX]) | upper;
	struct mock_reply reply = mock_reply_to((uint32_t)gregs[REG_RAX], argument0,
						(uint64_t)gregs[REG_RDI] << 32 | (uint32_t)gregs[REG_RSI]);

	gregs[REG_RAX] = mock_has(BUG_STATUS) ? SCRIM_STATUS_COUNT : reply.status;
	if (reply.status == SCRIM_OK || reply.status == SCRIM_ESTATE) {
		mock_write(&gregs[REG_RBX], reply.result0);
		mock_write(&gregs[REG_RCX], reply.result0 >> 32);
	}
	if (reply.status == SCRIM_OK) {
		mock_write(&gregs[REG_RSI], reply.result1);
		mock_write(&gregs[REG_RDI], reply.result1 >> 32);
	} else if (mock_has(BUG_FAILURE_WRITES)) {
		gregs[REG_RSI] = 0;
	}
}

static void mock_in(const struct port_insn_kind *kind, greg_t *gregs)
{
	uint64_t ones = (1ull << (8 * kind->bytes)) - 1;
	bool request = kind->bytes == 4 || (kind->bytes == 2 && mock_has(BUG_IN2));

	if ((gregs[REG_RDX] & 0xffff) == SCRIM_PORT && request)
		mock_request(gregs);
	else
		gregs[REG_RAX] = kind->bytes == 4 ? (greg_t)ones : gregs[REG_RAX] | (greg_t)ones;
}

bool port_access_emulate(void *context)
{
	ucontext_t *registers = context;
	greg_t *gregs = registers->uc_mcontext.gregs;
	const struct port_insn_kind *kind = port_insn_kinds;

	mock.requests++;
	while (kind->code != port_code)
		kind++;
	if (kind->string && !mock_has(BUG_STRING))
		return false;
	if (!kind->out)
		mock_in(kind, gregs);
	else if (mock_has(BUG_OUT))
		gregs[REG_RAX] = 0;
	if (mock_has(BUG_EDX))
		gregs[REG_RDX] = (uint16_t)gregs[REG_RDX];
	if (mock_has(BUG_OTHER_REGISTER))
		gregs[REG_R12] = 0;
	if (mock_has(BUG_FLAGS))
		gregs[REG_EFL] ^= 1;
	if (mock_has(BUG_XMM))
		registers->uc_mcontext.fpregs->_xmm[5].element[0] ^= 1;
	gregs[REG_RIP] = (greg_t)(uintptr_t)port_done;
	return true;
}
