/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides everything that changes the map while the OS runs: it drives the memory engine, one bounded batch a call. Machine lock held,
 * the calling CPU is `self`; a call that copies frees the lock meanwhile, so that other CPUs may work on batches of their own.
 */
#pragma once

#include "virt/machine.h"

/*
 * A way home begins: the map is locked but for it. `portion` NULL: everything. *begins stays as it was where one is under way
 * already. Errors: abi/scrim_abi.h, DEVIRTUALIZE.
 */
err_t moving_start_home(struct cpu *self, enum scrim_remap mode, const struct range *portion, bool *begins) MUST_CHECK;

/* Given up: what came home stays there. */
void moving_stop_home(void);

/* One batch of it; at the end of the last, state and portions follow. SCRIM_ENOFRAME, SCRIM_ENOTABLE: nothing has moved. */
err_t moving_step(struct cpu *self, uint32_t pages) MUST_CHECK;

/* All that is left of it at once, by all CPUs, the OS standing still. SCRIM_ECPU: one did not come. */
err_t moving_paused(struct cpu *self) MUST_CHECK;

/* One page to a free frame. Errors: mem_displace(). */
err_t moving_displace(struct cpu *self, gfn_t page, mfn_t *frame) MUST_CHECK;

/* The next moves of machine.scatter, the next pages of machine.share. *left: pages still to be looked at. SCRIM_ENOFRAME. */
err_t moving_scatter(struct cpu *self, uint32_t pages, uint64_t *left) MUST_CHECK;
err_t moving_share(struct cpu *self, uint32_t pages, uint64_t *left) MUST_CHECK;

/* Returns with the lock held and no batch in flight; the state may be another than before. */
void moving_wait_for_batches(struct cpu *self);

/* Large entries again where [start, end) is Identity, by way of absence as everywhere. No batch is in flight. */
void moving_merge(struct cpu *self, uint64_t start, uint64_t end);

/* How occupants are found. SCRIM_ENOTABLE: as before. */
err_t moving_use_reverse(struct cpu *self, enum scrim_reverse reverse) MUST_CHECK;

/*
 * The OS hands the machine to a kernel that knows nothing of lent RAM and will use it: everything comes home at once, nothing is lent
 * any more. The other CPUs run nothing.
 */
void moving_end_lending(struct cpu *self);

/*
 * A CPU's access met the map: lock not held. True: it may be made again, after waiting for the page's batch or with the page alone
 * in its frame. False: no such physical address.
 */
bool moving_fault(struct cpu *self, gfn_t page, bool is_write);

/* About how long moving_paused() would take for all that is displaced, in microseconds. */
uint64_t moving_pause_us(void);
