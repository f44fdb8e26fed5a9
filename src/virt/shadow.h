/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides each CPU's V2M tables (xlat/v2m.h) with the machine around them: the map, the pages that are on the move, the memory.
 * Which back-end a CPU uses is guard_apply()'s.
 */
#pragma once

#include "virt/machine.h"
#include "xlat/v2m.h"

/* A CPU gets on with no fewer: the pages that one instruction needs at once, and the tables above them. */
#define SHADOW_TABLES_MIN 64u

static inline bool shadow_is_v2m(enum scrim_backend backend)
{
	return backend == SCRIM_BACKEND_SHADOW || backend == SCRIM_BACKEND_VTLB;
}

/* Bytes of own_alloc() for each CPU where the boot option shadow= says so; and for all in common. */
uint64_t shadow_cpu_bytes(uint64_t option_bytes);
uint64_t shadow_shared_bytes(void);

/* At boot, with that memory, zeroed. */
void shadow_init(void *shared);
void shadow_give_memory(struct cpu *cpu, void *memory, uint64_t bytes);

/* There is memory for it. */
bool shadow_is_possible(void);

/* From the request for a V2M back-end until the last CPU has left it the engine's absences are noted. Machine lock held. */
void shadow_begin(void);
void shadow_end(void);

/* The engine makes a page absent that was in this frame. Machine lock held. */
void shadow_note(gfn_t page, mfn_t frame);
void shadow_note_moves(const struct mem_move *move, uint32_t count);
/* The next flush makes CPUs forget everything. Machine lock held. */
void shadow_note_all(void);
/* Every CPU has flushed. Machine lock held. */
void shadow_notes_done(void);

/* In a flush of this CPU: what was noted is forgotten; or all. */
void shadow_forget_noted(struct cpu *self);
void shadow_forget_all(struct cpu *self);

/* The OS has loaded CR3 on this CPU: tables of its own that have been quiet are linked. Machine lock not held. */
void shadow_link(struct cpu *self);
/* No table of the OS's is linked any more: before a portion grows, and before a CPU leaves V2M tables. Machine lock held. */
void shadow_unlink_all(struct cpu *self);
/* This CPU is about to step aside. Machine lock not held. */
void shadow_step_aside(struct cpu *self);

/* A #PF of this CPU. V2M_AGAIN also when it has waited. */
enum v2m_outcome shadow_miss(struct cpu *self, const struct guest_access *access, struct v2m_answer *answer);

/* Over all CPUs, for `status`. */
struct shadow_figures {
	uint64_t used, bound;
	uint64_t links, link_entries; /* the OS's own tables that are linked now, and what is present in them */
	uint64_t links_broken;        /* links that a write took away */
	struct v2m_counters count;
};
struct shadow_figures shadow_figures(void);
