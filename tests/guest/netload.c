/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network traffic at full speed, both ways, of which every byte is known beforehand at both ends. Runs until SIGTERM,
 * then prints what came of it as JSON. Wrong bytes are counted apart from what was lost on the way; the exit status is
 * 1 when any was wrong.
 */
#include "netload.h"
#include "guest_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRONG_SHOWN 20u

_Atomic bool netload_stop;

static void on_end(int signal)
{
	(void)signal;
	netload_stop = true;
}

void netload_fail(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

void netload_wrong(struct netload *load, const char *what, uint64_t at, uint64_t offset)
{
	if (load->result.wrong++ < WRONG_SHOWN)
		fprintf(stderr, "netload: WRONG: %s %" PRIu64 ", byte %" PRIu64 "\n", what, at, offset);
}

void netload_arrival(struct netload *load, uint64_t now_ns, uint64_t *last_ns)
{
	if (now_ns - *last_ns > load->result.longest_wait_ns)
		load->result.longest_wait_ns = now_ns - *last_ns;
	*last_ns = now_ns;
}

static void fill_pool(struct net_pool *pool, uint64_t seed)
{
	uint64_t number = 0;

	for (size_t i = 0; i < POOL_SIZE; i++) {
		if (i % 8 == 0)
			number = guest_random(&seed);
		pool->bytes[i] = (uint8_t)(number >> i % 8 * 8);
	}
	memcpy(pool->bytes + POOL_SIZE, pool->bytes, CONTENT_MAX);
}

static _Noreturn void usage(void)
{
	fputs("netload udp|tcp ADDRESS PORT [--seed N] [--spoil N]\n"
	      "Exchanges verified traffic with tests/system/net_peer.py until SIGTERM. --spoil sends one datagram, or\n"
	      "one byte of the stream, wrong.\n",
	      stderr);
	exit(2);
}

static void parse(int argc, char **argv, struct netload *load, uint64_t *seed)
{
	if (argc < 4 || inet_pton(AF_INET, argv[2], &load->peer.sin_addr) != 1)
		usage();
	load->peer.sin_family = AF_INET;
	load->peer.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
	for (int i = 4; i < argc; i++) {
		if (strcmp(argv[i], "--seed") == 0)
			*seed = guest_option_number(argc, argv, &i);
		else if (strcmp(argv[i], "--spoil") == 0)
			load->spoil = guest_option_number(argc, argv, &i);
		else
			usage();
	}
}

int main(int argc, char **argv)
{
	static struct netload load = { .spoil = UINT64_MAX };
	const struct net_result *result = &load.result;
	uint64_t seed = 1;
	bool udp;

	parse(argc, argv, &load, &seed);
	udp = strcmp(argv[1], "udp") == 0;
	if (!udp && strcmp(argv[1], "tcp") != 0)
		usage();
	fill_pool(&load.outgoing, guest_mix(2 * seed));
	fill_pool(&load.incoming, guest_mix(2 * seed + 1));
	signal(SIGTERM, on_end);
	signal(SIGPIPE, SIG_IGN);
	if (udp)
		netload_udp(&load);
	else
		netload_tcp(&load);
	printf("{\"tool\": \"netload\", \"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"again\": %" PRIu64
	       ", \"wrong\": %" PRIu64 ", \"bytes_verified\": %" PRIu64 ", \"longest_wait_ms\": %" PRIu64 "}\n",
	       result->sent, result->received, result->again, result->wrong, result->bytes_verified,
	       result->longest_wait_ns / 1000000);
	return result->wrong == 0 ? 0 : 1;
}
