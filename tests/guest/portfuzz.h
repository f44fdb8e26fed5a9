/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the parts of the fuzzer of the control port to each other. */
#pragma once

#include "guest_util.h"
#include "portfuzz_insn.h"
#include "scrim_abi.h"

#define FUZZ_CPUS_MAX    256u
#define FUZZ_RANGES_MAX  128u
#define FUZZ_SAMPLES     256u
#define FUZZ_NEAR        3u /* ports on either side of SCRIM_PORT: an access of 4 bytes there touches it */
#define FUZZ_CHECK_EVERY 10000u

struct fuzz_range {
	uint64_t start, end;
};

/* All that must be the same after any number of requests that are not valid changes. */
struct fuzz_snapshot {
	uint64_t info[SCRIM_INFO_COUNT]; /* those that count are 0 */
	uint64_t cpu[FUZZ_CPUS_MAX][SCRIM_CPU_VMCB + 1];
	struct fuzz_range ranges[SCRIM_RANGE_COUNT][FUZZ_RANGES_MAX];
	unsigned range_count[SCRIM_RANGE_COUNT];
	uint64_t page[FUZZ_SAMPLES]; /* machine addresses of the sample */
};

struct fuzz {
	const char *mode;
	uint64_t seed, count, random;
	uint64_t requests, faults, checks, failures;
	uint64_t statuses[SCRIM_STATUS_COUNT];
	uint64_t watch; /* enum scrim_watch: what is on */
	bool known; /* `now` is filled: replies are compared with it */
	struct fuzz_snapshot now;
	uint64_t sample[FUZZ_SAMPLES]; /* physical addresses */
	const struct port_insn_kind *kind;
	bool faulted;
};

/* portfuzz.c */
/* Executes one instruction with port_in and counts it. */
void fuzz_execute(struct fuzz *fuzz, enum port_insn insn);
/* Tells what is wrong with the last instruction, with its registers; of each kind the first few are printed, all are
 * counted. */
void fuzz_fail(struct fuzz *fuzz, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Random contents for all registers of port_in, valid buffers in rsi and rdi if asked for. */
void fuzz_fill_registers(struct fuzz *fuzz, bool buffers);

/* portfuzz_judge.c: what the ABI promises of the last instruction */
/* All registers but those named in port_regs order by `except` (bit 0: rax, ..., bit 5: rdi) are as before. */
void judge_kept(struct fuzz *fuzz, unsigned except);
/* An access that nobody answers: IN reads ones, OUT does nothing, string I/O too. */
void judge_undecoded(struct fuzz *fuzz);
/* The instruction raised #GP and did nothing. */
void judge_refused(struct fuzz *fuzz);
/* A request, of which `allowed` are the statuses that may come (bit set). */
void judge_request(struct fuzz *fuzz, uint32_t allowed);

/* portfuzz_model.c: what the control interface does, as far as a request without effect shows */
#define FUZZ_STATUS(status) (1u << (status))
/* The statuses that may answer eax with these arguments; 0 where the request could change something. */
uint32_t model_allowed(const struct fuzz *fuzz, uint32_t eax, uint64_t argument0, uint64_t argument1);
/* Results of a request that was answered with SCRIM_OK. */
void model_check_results(struct fuzz *fuzz);
/* Whether an item changes by itself. */
bool model_info_counts(const struct fuzz *fuzz, unsigned info);
enum ram_answer { RAM_NO, RAM_PARTLY, RAM_WHOLE };
/* How much of the address's page lies in the OS's RAM. */
enum ram_answer model_ram(const struct fuzz *fuzz, uint64_t address);
/* Some of the page at this address lies in a range of this kind: then a range that begins or ends there may be a valid one. */
bool model_touches(const struct fuzz *fuzz, unsigned kind, uint64_t address);

/* portfuzz_watch.c: of the model, what watches answer; and IMAGE_READ's buffer */
/* Makes the buffer, or ends the program. */
void watch_open_buffer(void);
/* How many of so many pages from there on lie in the buffer and can be written. */
uint64_t watch_writable(uint64_t address, uint64_t pages);
/* Arguments of an IMAGE_READ: mostly some pages of RAM, to the buffer. */
void watch_choose_image(struct fuzz *fuzz, uint64_t *argument0, uint64_t *argument1);
bool watch_is_on(const struct fuzz *fuzz);
/* As model_allowed(), for one operation each. */
uint32_t model_watch(const struct fuzz *fuzz, uint64_t kind);
uint32_t model_image_read(const struct fuzz *fuzz, uint64_t argument0, uint64_t target);
uint32_t model_image_cpu(const struct fuzz *fuzz, uint64_t cpu, uint64_t number);
uint32_t model_dirty(const struct fuzz *fuzz, uint64_t address);
/* Results of IMAGE_READ and DIRTY. */
void watch_check_image(struct fuzz *fuzz, uint64_t argument0, uint64_t target, uint64_t pages);
void watch_check_dirty(struct fuzz *fuzz, uint64_t address, uint64_t low, uint64_t high);
/* Of any IMAGE_READ, behind the check of its results: nothing else of the buffer was written. */
void watch_check_marks(struct fuzz *fuzz);

/* portfuzz_snapshot.c */
/* One request with known registers: status; results where it is SCRIM_OK. */
enum scrim_status fuzz_request(struct fuzz *fuzz, enum scrim_op op, uint64_t argument0, uint64_t argument1,
			       uint64_t *result0, uint64_t *result1);
void snapshot_start(struct fuzz *fuzz);
/* Takes it again and compares. */
void snapshot_compare(struct fuzz *fuzz);

/* portfuzz_access.c; the test of the fuzzer itself has another one. */
/* Asks the OS for the ports around SCRIM_PORT. */
bool port_access_open(void);
/* True if the fault was answered in the instruction's place. `context` is a ucontext_t. */
bool port_access_emulate(void *context);
