/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams. The peer answers each by one of its own with the same number. No more than WINDOW are unanswered, so that
 * no queue on the way is ever full: one that gets lost was lost for another reason, and is told.
 *
 *	0        8        12       16                length
 *	| number | length | CRC-32 | content ... |
 *
 * Little-endian; the CRC is of the whole datagram with a CRC of 0. Length and content follow from the number. The CRC
 * of UDP itself is not sent: what arrives wrong must not be dropped before it is counted.
 */
#include "guest_util.h"
#include "netload.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WINDOW     48u
#define PENDING    4096u /* of more numbers nobody remembers whether they are unanswered; a power of two */
#define LOST_MS    5000  /* without any arrival: what is unanswered is lost */
#define HEADER     16u
#define LENGTH_MAX CONTENT_MAX

struct datagram {
	uint64_t number;
	uint32_t length, crc;
	uint8_t content[LENGTH_MAX - HEADER];
};

_Static_assert(sizeof(struct datagram) == LENGTH_MAX, "as it goes over the wire");

struct udp {
	struct netload *load;
	int socket;
	uint64_t next;
	unsigned in_flight;
	bool pending[PENDING];
	uint32_t crc_table[256];
	uint64_t last_ns;
};

static void make_crc_table(uint32_t *table)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t value = i;

		for (unsigned bit = 0; bit < 8; bit++)
			value = value >> 1 ^ ((value & 1) != 0 ? 0xedb88320u : 0);
		table[i] = value;
	}
}

/* CRC-32 of the datagram, whose own CRC has to be 0. */
static uint32_t crc_of(const struct udp *udp, const struct datagram *datagram)
{
	const uint8_t *bytes = (const uint8_t *)datagram;
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; i < datagram->length; i++)
		crc = crc >> 8 ^ udp->crc_table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

/* Every other one is as long as can be. */
static uint32_t length_of(uint64_t number)
{
	return number % 2 == 0 ? LENGTH_MAX : HEADER + (uint32_t)(guest_mix(number) >> 32) % (LENGTH_MAX - HEADER + 1);
}

static const uint8_t *content_of(const struct net_pool *pool, uint64_t number)
{
	return pool->bytes + (guest_mix(number) & UINT32_MAX) % POOL_SIZE;
}

static void send_next(struct udp *udp)
{
	struct datagram datagram = { .number = udp->next, .length = length_of(udp->next) };

	memcpy(datagram.content, content_of(&udp->load->outgoing, datagram.number), datagram.length - HEADER);
	datagram.crc = crc_of(udp, &datagram);
	if (datagram.number == udp->load->spoil)
		((uint8_t *)&datagram)[datagram.length - 1] ^= 0x10;
	while (send(udp->socket, &datagram, datagram.length, 0) < 0)
		if (errno != EINTR)
			netload_fail("send");
	udp->pending[udp->next++ % PENDING] = true;
	udp->in_flight++;
	udp->load->result.sent++;
}

/* Whether all of it is what the peer has sent; length: what came. */
static bool verify(struct udp *udp, struct datagram *datagram, size_t length)
{
	const uint8_t *expected = content_of(&udp->load->incoming, datagram->number);
	uint32_t crc = datagram->crc;
	size_t offset = 0;

	if (length < HEADER || datagram->length != length || datagram->number >= udp->next ||
	    length != length_of(datagram->number)) {
		netload_wrong(udp->load, "the header of a datagram of length", length, 0);
		return false;
	}
	while (offset < length - HEADER && datagram->content[offset] == expected[offset])
		offset++;
	datagram->crc = 0;
	if (offset < length - HEADER || crc_of(udp, datagram) != crc) {
		netload_wrong(udp->load, "datagram", datagram->number, HEADER + offset);
		return false;
	}
	return true;
}

static void receive(struct udp *udp)
{
	struct net_result *result = &udp->load->result;
	struct datagram datagram;
	ssize_t length = recv(udp->socket, &datagram, sizeof(datagram), MSG_TRUNC | MSG_DONTWAIT);

	if (length < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (length < 0)
		netload_fail("recv");
	netload_arrival(udp->load, guest_now_ns(), &udp->last_ns);
	if (!verify(udp, &datagram, (size_t)length))
		return;
	result->bytes_verified += datagram.length;
	if (udp->pending[datagram.number % PENDING] && datagram.number + PENDING >= udp->next) {
		udp->pending[datagram.number % PENDING] = false;
		udp->in_flight -= udp->in_flight > 0;
		result->received++;
	} else {
		result->again++;
	}
}

void netload_udp(struct netload *load)
{
	static struct udp udp;
	int yes = 1;

	udp = (struct udp){ .load = load,
			    .socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
			    .last_ns = guest_now_ns() };
	make_crc_table(udp.crc_table);
	if (udp.socket < 0 || setsockopt(udp.socket, SOL_SOCKET, SO_NO_CHECK, &yes, sizeof(yes)) != 0 ||
	    connect(udp.socket, (struct sockaddr *)&load->peer, sizeof(load->peer)) != 0)
		netload_fail("socket");
	while (!netload_stop || udp.in_flight > 0) {
		struct pollfd wait = { .fd = udp.socket, .events = POLLIN };
		int ready;

		while (!netload_stop && udp.in_flight < WINDOW)
			send_next(&udp);
		ready = poll(&wait, 1, LOST_MS);
		if (ready > 0)
			receive(&udp);
		else if (ready == 0)
			udp.in_flight = 0; /* they stay pending: those that come after all are received, not lost */
		else if (errno != EINTR)
			netload_fail("poll");
	}
	close(udp.socket);
}
