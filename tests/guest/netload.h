/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what both kinds of traffic of netload are made of: content that both ends know, and what came of it. The
 * other end is tests/system/net_peer.py.
 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A prime, so that what comes round again lies otherwise in its pages. */
#define POOL_SIZE 65521u
/* Behind the pool follows its beginning, so that content which runs over the end is one piece. */
#define CONTENT_MAX 1472u

/* Content of one direction: numbers of the seeded stream, from the low byte on. */
struct net_pool {
	uint8_t bytes[POOL_SIZE + CONTENT_MAX];
};

struct net_result {
	uint64_t sent, received; /* datagrams, or bytes of the stream */
	uint64_t again;          /* datagrams that came twice */
	uint64_t wrong;          /* datagrams, or places in the stream, that are not what the other end sent */
	uint64_t bytes_verified;
	uint64_t longest_wait_ns; /* between two arrivals */
};

struct netload {
	struct sockaddr_in peer;
	uint64_t spoil; /* the datagram, or the byte of the stream, that is sent wrong; UINT64_MAX: none */
	struct net_pool outgoing, incoming;
	struct net_result result;
};

/* Set by SIGTERM: nothing more is sent, and what is under way is waited for. */
extern _Atomic bool netload_stop;

/* Ends the program with status 1 and errno's text. */
_Noreturn void netload_fail(const char *what);

/* One line on standard error for each of the first wrong places; counts them all. `at`: datagram, or byte of the
 * stream. */
void netload_wrong(struct netload *load, const char *what, uint64_t at, uint64_t offset);

/* Notes an arrival at the time `now_ns`, the one before having been at *last_ns. */
void netload_arrival(struct netload *load, uint64_t now_ns, uint64_t *last_ns);

/* Both run until netload_stop and until all that was sent is answered, or is known to be lost. */
void netload_udp(struct netload *load);
void netload_tcp(struct netload *load);
