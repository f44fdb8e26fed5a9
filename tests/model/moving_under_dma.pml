/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model for Spin of docs/decisions/0014: a CPU, a device behind an IOMMU and the mover, in every interleaving of a small scope. Pages are
 * one word of two bytes. The device writes one byte or both, and reads; the CPU writes and reads; the mover moves.
 *
 * What has been written is `truth`: for each byte the last write that reached memory, in whichever frame. It is held against every read
 * of the CPU and of the device, and at the end against the frames.
 *
 * check.py beside this file runs it: ALONE, PAIR, SWAP say which moves; the other names leave out a step of the mover's, change the
 * order, or let the device do what the method does not promise, and with each of these Spin has to find a lost write.
 */

#define NONE 255
#define PAGES 2
#define FRAMES 4
#define CPU_VALUE 16 /* the CPU's writes are told from the device's */
#define AT(n, byte) ((n) * 2 + (byte))

#ifdef TWO_UNITS
#define UNITS 2
#else
#define UNITS 1
#endif

byte mem[FRAMES * 2];
byte truth[PAGES * 2];
byte pristine[PAGES * 2];
bool moving[PAGES];        /* from the copy to the end of the merge */
bool touched[PAGES * 2];   /* the device's write reached memory meanwhile */

byte iommu[PAGES];         /* the IOMMU's table: frames */
byte iotlb[UNITS * PAGES]; /* frames, or NONE */
byte cpu_table[PAGES];     /* frames, or NONE: absent */
byte cpu_tlb[PAGES];

chan posted = [2] of { byte, byte, byte, byte }; /* page, frame, bytes, value: translated, on the way to memory */
byte issued, landed;       /* writes */
byte reads_from = NONE;    /* a read, translated, on the way to memory */
bool device_ended;

/* --- the device, its IOMMU, memory --- */

/* What is cached is used, or has been evicted: then the table is read, and cached or not. */
inline translate(page, unit, frame)
{
	if
	:: iotlb[(unit) * PAGES + page] != NONE -> frame = iotlb[(unit) * PAGES + page]
	:: frame = iommu[page];
	   if
	   :: iotlb[(unit) * PAGES + page] = frame
	   :: iotlb[(unit) * PAGES + page] = NONE
	   fi
	fi
}

inline choose_page(page)
{
	page = 0;
#ifndef ALONE
	if
	:: skip
	:: page = 1
	fi
#endif
}

/* Posted: the device goes on when the write has been translated. */
inline issue_write()
{
	atomic {
		nfull(posted) -> choose_page(page);
		if
		:: bytes = 1
		:: bytes = 2
		:: bytes = 3
		fi;
		value = 1 + issued;
#ifdef AWAY_AND_BACK
		if
		:: skip
		:: value = 0
		fi;
#endif
		translate(page, unit, frame);
		posted!page, frame, bytes, value;
		issued++;
		frame = 0; bytes = 0; value = 0
	}
}

/* Behind its own writes (PCI Express Base Specification, 2.4.1). What it wrote while the page moved may not be there yet. */
inline read_back()
{
	atomic {
		landed == issued -> choose_page(page);
		translate(page, unit, reads_from)
	}
	atomic {
		if
		:: byte_at = 0
		:: byte_at = 1
		fi;
#ifdef READ_BACK
		assert(mem[AT(reads_from, byte_at)] == truth[AT(page, byte_at)]);
#else
		assert(mem[AT(reads_from, byte_at)] == truth[AT(page, byte_at)] || touched[AT(page, byte_at)]);
#endif
		reads_from = NONE; byte_at = 0
	}
}

proctype device()
{
	byte page, bytes, value, frame, byte_at, unit, writes = WRITES, reads = READS;

	do
	:: writes > 0 -> issue_write(); writes--
	:: reads > 0 -> read_back(); reads--
#ifdef TWO_UNITS
	/* The OS has heard of what one device wrote, and lets another write. */
	:: unit == 0 && landed == issued -> unit = 1
#endif
	:: writes == 0 && reads == 0 -> break
	od;
	device_ended = true
}

inline land(page, frame, at, value)
{
	atomic {
#ifdef BUS_ATOMICS
		mem[AT(frame, at)] = mem[AT(frame, at)] + 1;
		truth[AT(page, at)] = truth[AT(page, at)] + 1;
#else
		mem[AT(frame, at)] = value;
		truth[AT(page, at)] = value;
#endif
		touched[AT(page, at)] = moving[page]
	}
}

/* In order; but of a write's bytes one is there before the other. */
proctype memory()
{
	byte page, frame, bytes, value;

end:	do
	:: atomic { posted?page, frame, bytes, value };
	   if
	   :: bytes & 1 -> land(page, frame, 0, value)
	   :: else
	   fi;
	   if
	   :: bytes & 2 -> land(page, frame, 1, value)
	   :: else
	   fi;
	   d_step { landed++; page = 0; frame = 0; bytes = 0; value = 0 }
	od
}

/* --- the CPU --- */

/* Waits where all is absent. */
inline choose_present_page(page, frame)
{
	if
	:: cpu_tlb[0] != NONE || cpu_table[0] != NONE -> page = 0
#ifndef ALONE
	:: cpu_tlb[1] != NONE || cpu_table[1] != NONE -> page = 1
#endif
	fi;
	if
	:: cpu_tlb[page] == NONE -> cpu_tlb[page] = cpu_table[page]
	:: else
	fi;
	frame = cpu_tlb[page]
}

proctype cpu()
{
	byte page, byte_at, frame, value = CPU_VALUE;

	do
	:: value < CPU_VALUE + CPU_ACCESSES ->
	   atomic {
		choose_present_page(page, frame);
		if
		:: byte_at = 0
		:: byte_at = 1
		fi;
		value++;
		if
		:: assert(mem[AT(frame, byte_at)] == truth[AT(page, byte_at)])
		:: mem[AT(frame, byte_at)] = value; truth[AT(page, byte_at)] = value
		fi;
		page = 0; byte_at = 0; frame = 0
	   }
	:: else -> break
	od
}

/* --- the mover's steps --- */

/* Absent, and flushed: the CPU answers a flush between two accesses. */
inline make_absent(p)
{
#ifdef CPU_STAYS
	skip
#else
	d_step { cpu_table[p] = NONE; cpu_tlb[p] = NONE }
#endif
}

inline load_pristine(p, from)
{
	d_step { pristine[AT(p, 0)] = mem[AT(from, 0)]; pristine[AT(p, 1)] = mem[AT(from, 1)] }
}

/* One load goes to both. */
inline copy(p, from, to)
{
#ifdef PRISTINE_FIRST
	load_pristine(p, from);
#endif
	d_step {
		moving[p] = true;
		mem[AT(to, 0)] = mem[AT(from, 0)];
		mem[AT(to, 1)] = mem[AT(from, 1)];
#ifndef PRISTINE_FIRST
		pristine[AT(p, 0)] = mem[AT(from, 0)];
		pristine[AT(p, 1)] = mem[AT(from, 1)]
#endif
	}
#ifdef PRISTINE_LAST
	load_pristine(p, from)
#endif
}

inline switch(p, to) { iommu[p] = to }

/* Behind it nothing is under way that was translated before. */
inline invalidate(p, from)
{
	d_step {
		iotlb[p] = NONE;
#ifdef TWO_UNITS
		iotlb[PAGES + p] = NONE;
#endif
		must_land = issued
	}
#ifndef WRITES_NOT_DRAINED
	landed >= must_land;
#endif
#ifndef READS_NOT_DRAINED
	reads_from != from
#endif
}

/* What the word of the new frame, as it was seen, is to get from the old one. */
inline choose_bytes(p, from)
{
#ifdef WHOLE_WORDS
	take0 = (mem[AT(from, 0)] != pristine[AT(p, 0)] || mem[AT(from, 1)] != pristine[AT(p, 1)]) &&
		now0 == pristine[AT(p, 0)] && now1 == pristine[AT(p, 1)];
	take1 = take0
#else
	take0 = mem[AT(from, 0)] != pristine[AT(p, 0)] && now0 == pristine[AT(p, 0)];
	take1 = mem[AT(from, 1)] != pristine[AT(p, 1)] && now1 == pristine[AT(p, 1)]
#endif
}

inline compare_and_swap(from, to)
{
	d_step {
		if
#ifdef PLAIN_STORE
		:: true ->
#else
		:: mem[AT(to, 0)] == now0 && mem[AT(to, 1)] == now1 ->
#endif
			mem[AT(to, 0)] = (take0 -> mem[AT(from, 0)] : now0);
			mem[AT(to, 1)] = (take1 -> mem[AT(from, 1)] : now1);
			swapped = true
#ifndef PLAIN_STORE
		:: else -> now0 = mem[AT(to, 0)]; now1 = mem[AT(to, 1)]
#endif
		fi
	}
}

inline merge(p, from, to)
{
#ifndef NO_MERGE
#ifdef OLD_IS_PRISTINE
	load_pristine(p, from);
#endif
#ifdef NEW_IS_PRISTINE
	load_pristine(p, to);
#endif
	d_step { now0 = mem[AT(to, 0)]; now1 = mem[AT(to, 1)]; swapped = false };
	do
	:: !swapped ->
		d_step { choose_bytes(p, from) }
		if
		:: take0 || take1 -> compare_and_swap(from, to)
		:: else -> break
		fi
	:: swapped -> break
	od;
	skip; /* no jump into a d_step */
#endif
	d_step {
		pristine[AT(p, 0)] = 0; pristine[AT(p, 1)] = 0;
		moving[p] = false; touched[AT(p, 0)] = false; touched[AT(p, 1)] = false;
		now0 = 0; now1 = 0; take0 = false; take1 = false
	}
}

inline make_present(p, to) { cpu_table[p] = to }

/* Nothing is to be had from a free frame. */
inline release(from)
{
	d_step { mem[AT(from, 0)] = NONE; mem[AT(from, 1)] = NONE }
}

/* A whole move of a page that is absent. */
inline move(p, from, to)
{
#if defined(INVALIDATED_FIRST)
	copy(p, from, to);
	invalidate(p, from);
	switch(p, to);
	merge(p, from, to);
	make_present(p, to);
#elif defined(SWITCHED_FIRST)
	switch(p, to);
	copy(p, from, to);
	invalidate(p, from);
	merge(p, from, to);
	make_present(p, to);
#elif defined(MERGED_BEFORE_DRAIN)
	copy(p, from, to);
	switch(p, to);
	merge(p, from, to);
	invalidate(p, from);
	make_present(p, to);
#elif defined(PRESENT_BEFORE_MERGE)
	copy(p, from, to);
	switch(p, to);
	invalidate(p, from);
	make_present(p, to);
	merge(p, from, to);
#else
	copy(p, from, to);
	switch(p, to);
	invalidate(p, from);
	merge(p, from, to);
	make_present(p, to);
#endif
	release(from)
}

/* Two moves, neither into the frame that the other leaves: one drained invalidation. */
inline move_both(p, from, to, q, q_from, q_to)
{
	copy(p, from, to);
	copy(q, q_from, q_to);
	switch(p, to);
	switch(q, q_to);
	invalidate(p, from);
	invalidate(q, q_from);
	merge(p, from, to);
	merge(q, q_from, q_to);
	make_present(p, to);
	make_present(q, q_to);
#ifndef ONE_DRAIN
	release(from);
#endif
	release(q_from)
}

/* The second into the frame that the first leaves, which is still written. */
inline move_too_early(p, from, to, q, q_from)
{
	copy(p, from, to);
	switch(p, to);
	copy(q, q_from, from);
	invalidate(p, from);
	merge(p, from, to);
	make_present(p, to);
	switch(q, from);
	invalidate(q, q_from);
	merge(q, q_from, from);
	make_present(q, from);
	release(q_from)
}

/* --- scenarios: pages 0 and 1 at home, frames 2 and 3 free --- */

inline moves()
{
	make_absent(0);
#if defined(ALONE)
	move(0, 0, 2);
	make_absent(0);
	move(0, 2, 0)
#elif defined(PAIR)
	make_absent(1);
	move_both(0, 0, 2, 1, 1, 3)
#elif defined(ONE_DRAIN)
	make_absent(1);
	move_both(0, 0, 2, 1, 1, 0)
#elif defined(REUSED_BEFORE_DRAIN)
	make_absent(1);
	move_too_early(0, 0, 2, 1, 1)
#else /* SWAP: a chain, by one free frame */
	make_absent(1);
	move(0, 0, 2);
	move(1, 1, 0);
	make_absent(0);
	move(0, 2, 1)
#endif
}

proctype mover()
{
	byte must_land, now0, now1;
	bool take0, take1, swapped;

	moves();
	device_ended && landed == issued;
	assert(mem[AT(iommu[0], 0)] == truth[AT(0, 0)] && mem[AT(iommu[0], 1)] == truth[AT(0, 1)]);
	assert(mem[AT(iommu[1], 0)] == truth[AT(1, 0)] && mem[AT(iommu[1], 1)] == truth[AT(1, 1)])
}

init
{
	atomic {
		iommu[1] = 1;
		cpu_table[1] = 1;
		iotlb[0] = NONE; iotlb[1] = NONE;
#ifdef TWO_UNITS
		iotlb[3] = NONE; /* and page 0 is cached by the second unit too */
#endif
		cpu_tlb[0] = NONE; cpu_tlb[1] = NONE;
		mem[AT(2, 0)] = NONE; mem[AT(2, 1)] = NONE;
		mem[AT(3, 0)] = NONE; mem[AT(3, 1)] = NONE;
		run device(); run memory(); run cpu(); run mover()
	}
}
