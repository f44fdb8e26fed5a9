/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random requests at the control port, as root and as a user without the right to it, each judged against
 * abi/scrim_abi.h: registers, status, results, and that nothing changes unless a valid request asks for it. Requests
 * that would be carried out are not sent: what is invalid in them is chosen from what is known of the state.
 *
 * Owns the choice of instructions and registers, the handler of SIGSEGV and the report. A fault goes on behind its
 * instruction with all registers as the fault left them, so they are judged too.
 */
#include "portfuzz.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define KINDS_MAX    64u
#define TOLD_MAX     3u /* failures of one kind whose registers are printed */
#define NOBODY       65534u
#define BUFFER_BYTES 256u
#define REPEAT_MAX   8u

static volatile sig_atomic_t fault_came;
static uint8_t buffer[BUFFER_BYTES];

static void fuzz_on_fault(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *registers = context;

	(void)info;
	if (registers->uc_mcontext.gregs[REG_RIP] != (greg_t)(uintptr_t)port_code) {
		/* Not the instruction: the fuzzer's own fault, which comes again and kills it. */
		signal(signal_number, SIG_DFL);
		return;
	}
	if (port_access_emulate(context))
		return;
	fault_came = 1;
	registers->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)port_done;
}

static void fuzz_catch_faults(void)
{
	static uint8_t stack[65536];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = fuzz_on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaltstack(&alternate, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

void fuzz_execute(struct fuzz *fuzz, enum port_insn insn)
{
	fuzz->kind = &port_insn_kinds[insn];
	fuzz->requests++;
	fault_came = 0;
	port_code = fuzz->kind->code;
	port_execute();
	fuzz->faulted = fault_came != 0;
	fuzz->faults += fuzz->faulted;
}

static void fuzz_report(const struct fuzz *fuzz)
{
	printf("{\"tool\": \"portfuzz\", \"mode\": \"%s\", \"seed\": %lu, \"requests\": %lu, \"faults\": %lu, "
	       "\"checks\": %lu, "
	       "\"state\": %lu, \"statuses\": [",
	       fuzz->mode, fuzz->seed, fuzz->requests, fuzz->faults, fuzz->checks, fuzz->now.info[SCRIM_INFO_STATE]);
	for (unsigned status = 0; status < SCRIM_STATUS_COUNT; status++)
		printf("%s%lu", status == 0 ? "" : ", ", fuzz->statuses[status]);
	printf("], \"failures\": %lu}\n", fuzz->failures);
	fflush(stdout);
}

static void fuzz_print_registers(const char *when, const struct port_regs *r)
{
	fprintf(stderr,
		"  %s rax %016lx rbx %016lx rcx %016lx rdx %016lx rsi %016lx rdi %016lx\n"
		"      rbp %016lx rsp %016lx flags %lx\n",
		when, r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->rflags);
}

/* Whether this kind of failure has been told often enough. A kind is the text of its message before it is filled in. */
static bool fuzz_is_told(const char *format)
{
	static struct {
		const char *format;
		unsigned count;
	} told[KINDS_MAX];

	for (unsigned i = 0; i < KINDS_MAX; i++) {
		if (told[i].format == NULL)
			told[i].format = format;
		if (told[i].format == format)
			return told[i].count++ >= TOLD_MAX;
	}
	return true;
}

void fuzz_fail(struct fuzz *fuzz, const char *format, ...)
{
	va_list arguments;

	fuzz->failures++;
	if (fuzz_is_told(format))
		return;
	fprintf(stderr, "portfuzz: request %lu of seed %lu (%s): ", fuzz->requests, fuzz->seed, fuzz->kind->name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	fuzz_print_registers("in: ", &port_in);
	fuzz_print_registers("out:", &port_out);
}

void fuzz_fill_registers(struct fuzz *fuzz, bool buffers)
{
	uint64_t *registers = &port_in.rax;

	for (unsigned i = 0; i < 16; i++)
		registers[i] = guest_random(&fuzz->random);
	port_in.rflags = (guest_random(&fuzz->random) & PORT_FLAGS_FREE) | PORT_FLAGS_FIXED;
	for (unsigned i = 0; i < sizeof(port_in.xmm); i += 32)
		memcpy(&port_in.xmm[0][0] + i, &port_in.r8_to_r15[i / 32], 8);
	if (buffers) {
		/* In the middle: the direction flag takes either way. */
		port_in.rsi = port_in.rdi = (uintptr_t)buffer + BUFFER_BYTES / 2;
		port_in.rcx = guest_random(&fuzz->random) % REPEAT_MAX;
	}
}

/* Numbers on which something turns: limits of the ABI, of its types, and of the machine's memory. */
static uint64_t fuzz_edge(struct fuzz *fuzz)
{
	static const uint64_t edges[] = { 0,
					  1,
					  2,
					  3,
					  4,
					  SCRIM_EXIT_COUNT - 1,
					  SCRIM_EXIT_COUNT,
					  SCRIM_INFO_COUNT - 1,
					  SCRIM_INFO_COUNT,
					  SCRIM_BATCH_MAX - 1,
					  SCRIM_BATCH_MAX,
					  SCRIM_BATCH_MAX + 1,
					  SCRIM_FRACTION_ALL,
					  SCRIM_FRACTION_ALL + 1,
					  0xfff,
					  0x1000,
					  0xfee00000,
					  UINT32_MAX,
					  1ull << 32,
					  1ull << 40,
					  1ull << 52,
					  1ull << 63,
					  ~0xfffull,
					  UINT64_MAX };
	uint64_t random = guest_random(&fuzz->random), pick = random >> 32;
	unsigned kind = (unsigned)(random >> 8) % SCRIM_RANGE_COUNT, count = fuzz->now.range_count[kind];
	const struct fuzz_range *range = &fuzz->now.ranges[kind][count > 0 ? pick % count : 0];

	switch (random % 8) {
	case 0:
		return guest_random(&fuzz->random);
	case 1:
		return guest_random(&fuzz->random) >> (pick % 64);
	case 2:
		return fuzz->now.info[SCRIM_INFO_CPUS] - 1 + pick % 3;
	case 3:
		return (pick % 2 == 0 ? range->start : range->end) + (pick >> 1) % 3 - 1;
	case 4:
		return (pick % 2 == 0 ? range->start : range->end) + ((pick >> 1) % 3 - 1) * GUEST_PAGE_SIZE;
	case 5:
		return fuzz->sample[pick % FUZZ_SAMPLES] + (pick % 16 == 0 ? pick >> 20 : 0);
	case 6:
		return pick % (SCRIM_INFO_COUNT + 8);
	default:
		return edges[pick % (sizeof(edges) / sizeof(edges[0]))];
	}
}

static uint32_t fuzz_choose_eax(struct fuzz *fuzz)
{
	uint64_t random = guest_random(&fuzz->random), pick = random >> 32;
	uint32_t op = (uint32_t)(random >> 16) % SCRIM_OP_COUNT;

	/* CHECK walks the whole map: seldom. */
	if (op == SCRIM_OP_CHECK && pick % 64 != 0)
		op = SCRIM_OP_TRANSLATE;
	switch (random % 16) {
	case 0:
		return (uint32_t)pick;
	case 1:
		return SCRIM_REQUEST(op) ^ 1u << (pick % 32);
	case 2:
		return SCRIM_REQUEST(pick % 2 == 0 ? SCRIM_OP_COUNT + (pick >> 1) % 4 : pick & 0xffff);
	case 3:
		return op | (uint32_t)(pick % 2 == 0 ? 0 : SCRIM_MAGIC << 8);
	default:
		return SCRIM_REQUEST(op);
	}
}

/* One request by an IN of 32 bits; upper halves of registers, and of edx, are anything. */
static void fuzz_send_request(struct fuzz *fuzz)
{
	enum port_insn insn = guest_random(&fuzz->random) % PORT_INSN_FIRST_OTHER;
	/* Many operations take one argument, and say more where the other is zero. */
	uint64_t argument0 = fuzz_edge(fuzz), argument1 = guest_random(&fuzz->random) % 4 == 0 ? 0 : fuzz_edge(fuzz);
	uint32_t eax = fuzz_choose_eax(fuzz);

	/* Of the many items the one behind the last is the likeliest to be answered by mistake. */
	if (eax == SCRIM_REQUEST(SCRIM_OP_INFO) && argument0 % 4 == 0)
		argument0 = SCRIM_INFO_COUNT;
	if (eax == SCRIM_REQUEST(SCRIM_OP_IMAGE_READ))
		watch_choose_image(fuzz, &argument0, &argument1);
	uint32_t allowed = model_allowed(fuzz, eax, argument0, argument1);
	if (allowed == 0) {
		/* It would be carried out. */
		eax ^= 1u << 31;
		allowed = FUZZ_STATUS(SCRIM_EBADREQ);
	}
	fuzz_fill_registers(fuzz, false);
	port_in.rax = (port_in.rax & ~(uint64_t)UINT32_MAX) | eax;
	port_in.rbx = (port_in.rbx & ~(uint64_t)UINT32_MAX) | (uint32_t)argument0;
	port_in.rcx = (port_in.rcx & ~(uint64_t)UINT32_MAX) | argument0 >> 32;
	port_in.rsi = (port_in.rsi & ~(uint64_t)UINT32_MAX) | (uint32_t)argument1;
	port_in.rdi = (port_in.rdi & ~(uint64_t)UINT32_MAX) | argument1 >> 32;
	port_in.rdx = (port_in.rdx & ~(uint64_t)UINT16_MAX) | SCRIM_PORT;
	fuzz_execute(fuzz, insn);
	judge_request(fuzz, allowed);
	if ((eax & 0xffffu) == SCRIM_OP_IMAGE_READ)
		watch_check_marks(fuzz);
}

static void fuzz_set_port(struct fuzz *fuzz, bool exact)
{
	uint64_t near = exact ? 0 : guest_random(&fuzz->random) % (2 * FUZZ_NEAR + 1) - FUZZ_NEAR;

	port_in.rdx = (port_in.rdx & ~(uint64_t)UINT16_MAX) | (uint16_t)(SCRIM_PORT + near);
}

/* Other sizes, OUT, and accesses that touch the port from beside it. */
static void fuzz_send_other(struct fuzz *fuzz)
{
	enum port_insn insn = guest_random(&fuzz->random) % PORT_INSN_FIRST_STRING;

	fuzz_fill_registers(fuzz, false);
	fuzz_set_port(fuzz, guest_random(&fuzz->random) % 2 == 0);
	if (guest_random(&fuzz->random) % 2 == 0)
		port_in.rax = SCRIM_REQUEST(guest_random(&fuzz->random) % SCRIM_OP_COUNT);
	if (insn < PORT_INSN_FIRST_OTHER && (uint16_t)port_in.rdx == SCRIM_PORT)
		insn = PORT_INSN_FIRST_OTHER;
	fuzz_execute(fuzz, insn);
	judge_undecoded(fuzz);
}

static enum port_insn fuzz_prepare_string(struct fuzz *fuzz)
{
	memset(buffer, 0x5a, sizeof(buffer));
	fuzz_fill_registers(fuzz, true);
	fuzz_set_port(fuzz, true);
	return PORT_INSN_FIRST_STRING + guest_random(&fuzz->random) % (PORT_INSN_COUNT - PORT_INSN_FIRST_STRING);
}

static bool fuzz_buffer_is(uint8_t byte)
{
	for (unsigned i = 0; i < sizeof(buffer); i++)
		if (buffer[i] != byte)
			return false;
	return true;
}

static void fuzz_send_string(struct fuzz *fuzz)
{
	enum port_insn insn = fuzz_prepare_string(fuzz);

	fuzz_execute(fuzz, insn);
	/* With nothing to repeat the instruction need not reach the port at all. */
	if (fuzz->kind->rep && port_in.rcx == 0 && !fuzz->faulted)
		judge_kept(fuzz, 0);
	else
		judge_refused(fuzz);
	if (!fuzz_buffer_is(0x5a))
		fuzz_fail(fuzz, "refused string I/O wrote to memory");
}

static void fuzz_run_root(struct fuzz *fuzz)
{
	unsigned limit = guest_cpu_limit();
	uint64_t next = 0;

	watch_open_buffer();
	snapshot_start(fuzz);
	for (uint64_t i = 0; i < fuzz->count; i++) {
		unsigned choice = (unsigned)(guest_random(&fuzz->random) % 64);

		if (i == next) {
			guest_pin_near((unsigned)(i / FUZZ_CHECK_EVERY) % limit, limit);
			snapshot_compare(fuzz);
			next += FUZZ_CHECK_EVERY;
		}
		if (choice < 3)
			fuzz_send_string(fuzz);
		else if (choice < 12)
			fuzz_send_other(fuzz);
		else
			fuzz_send_request(fuzz);
	}
	snapshot_compare(fuzz);
}

/* A machine without Scrim: nobody answers, to whatever instruction. */
static void fuzz_run_absent(struct fuzz *fuzz)
{
	for (uint64_t i = 0; i < fuzz->count; i++) {
		enum port_insn insn = guest_random(&fuzz->random) % PORT_INSN_FIRST_STRING;

		if (i % 4 == 0) {
			insn = fuzz_prepare_string(fuzz);
		} else {
			fuzz_fill_registers(fuzz, false);
			fuzz_set_port(fuzz, i % 2 == 0);
			port_in.rax = SCRIM_REQUEST(i % SCRIM_OP_COUNT);
		}
		fuzz_execute(fuzz, insn);
		judge_undecoded(fuzz);
	}
	printf("absent: port 0x%x reads all ones\n", SCRIM_PORT);
}

static void fuzz_drop_root(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) != 0)) {
		perror("portfuzz: cannot become nobody");
		exit(1);
	}
	printf("user: uid %u\n", geteuid());
}

static void fuzz_expect_eperm(struct fuzz *fuzz, const char *call, int result)
{
	if (result == -1 && errno == EPERM) {
		printf("user: %s: EPERM\n", call);
		return;
	}
	fprintf(stderr, "portfuzz: %s gives %d, errno %d, not EPERM\n", call, result, errno);
	fuzz->failures++;
}

static void fuzz_run_user(struct fuzz *fuzz)
{
	fuzz_drop_root();
	errno = 0;
	fuzz_expect_eperm(fuzz, "ioperm", ioperm(SCRIM_PORT, 4, 1));
	errno = 0;
	fuzz_expect_eperm(fuzz, "iopl", iopl(3));
	for (uint64_t i = 0; i < fuzz->count; i++) {
		enum port_insn insn = guest_random(&fuzz->random) % PORT_INSN_COUNT;

		if (insn >= PORT_INSN_FIRST_STRING) {
			insn = fuzz_prepare_string(fuzz);
			port_in.rcx |= 1;
		} else {
			fuzz_fill_registers(fuzz, false);
			fuzz_set_port(fuzz, true);
			port_in.rax = (port_in.rax & ~(uint64_t)UINT32_MAX) | fuzz_choose_eax(fuzz);
		}
		fuzz_execute(fuzz, insn);
		judge_refused(fuzz);
	}
	if (fuzz->failures == 0)
		printf("user: IN and OUT of every kind: SIGSEGV, registers kept\n");
}

static void fuzz_usage(void)
{
	puts("portfuzz [--count N] [--seed X] [--user | --absent]\n"
	     "Sends N (1000000) random requests to Scrim's port and judges every answer. Root only, on Scrim.\n"
	     "--user    as uid 65534 without the right to the port: every access must end in SIGSEGV\n"
	     "--absent  on a machine without Scrim: the port must read all ones");
	exit(0);
}

int main(int argc, char **argv)
{
	static struct fuzz fuzz = { .mode = "root", .seed = 1, .count = 1000000, .kind = &port_insn_kinds[0] };
	void (*run)(struct fuzz *) = fuzz_run_root;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--count") == 0)
			fuzz.count = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--seed") == 0)
			fuzz.seed = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--user") == 0)
			run = fuzz_run_user;
		else if (strcmp(argv[i], "--absent") == 0)
			run = fuzz_run_absent;
		else if (strcmp(argv[i], "--help") == 0)
			fuzz_usage();
		else {
			fprintf(stderr, "portfuzz: unknown option %s\n", argv[i]);
			return 2;
		}
	}
	fuzz.mode = run == fuzz_run_user ? "user" : run == fuzz_run_absent ? "absent" : "root";
	fuzz.random = guest_mix(fuzz.seed);
	fuzz_catch_faults();
	if (run != fuzz_run_user && !port_access_open()) {
		fprintf(stderr, "portfuzz: ioperm: %s; root is wanted\n", strerror(errno));
		return 2;
	}
	run(&fuzz);
	fuzz_report(&fuzz);
	return fuzz.failures == 0 ? 0 : 1;
}
