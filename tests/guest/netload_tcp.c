/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream each way, as fast as it goes: the pool, over and over. At the end each side closes its direction and reads
 * the other's to its end, so that both have verified all that was sent.
 */
#include "guest_util.h"
#include "netload.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE       CONTENT_MAX
#define PATIENCE_MS 120000

/* Sends what the socket takes. */
static void send_piece(struct netload *load, int socket)
{
	uint64_t at = load->result.sent;
	uint8_t piece[PIECE];
	ssize_t count;

	memcpy(piece, load->outgoing.bytes + at % POOL_SIZE, PIECE);
	if (load->spoil >= at && load->spoil - at < PIECE)
		piece[load->spoil - at] ^= 0x10;
	count = send(socket, piece, PIECE, MSG_DONTWAIT);
	if (count >= 0)
		load->result.sent += (uint64_t)count;
	else if (errno != EINTR && errno != EAGAIN)
		netload_fail("send");
}

/* False at the end of the peer's stream. */
static bool receive_piece(struct netload *load, int socket)
{
	struct net_result *result = &load->result;
	const uint8_t *expected = load->incoming.bytes + result->received % POOL_SIZE;
	uint8_t piece[PIECE];
	ssize_t count = recv(socket, piece, PIECE, MSG_DONTWAIT);

	if (count < 0 && errno != EINTR && errno != EAGAIN)
		netload_fail("recv");
	if (count <= 0)
		return count < 0;
	if (memcmp(piece, expected, (size_t)count) == 0) {
		result->bytes_verified += (uint64_t)count;
	} else {
		uint64_t offset = 0;

		while (piece[offset] == expected[offset])
			offset++;
		netload_wrong(load, "the stream at", result->received, offset);
	}
	result->received += (uint64_t)count;
	return true;
}

void netload_tcp(struct netload *load)
{
	int end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t last_ns = guest_now_ns();
	bool sending = true;

	if (end < 0 || connect(end, (struct sockaddr *)&load->peer, sizeof(load->peer)) != 0)
		netload_fail("connect");
	for (;;) {
		struct pollfd wait = { .fd = end, .events = (short)(POLLIN | (sending ? POLLOUT : 0)) };
		int ready = poll(&wait, 1, PATIENCE_MS);

		if (ready == 0)
			errno = ETIMEDOUT;
		if (ready == 0 || (ready < 0 && errno != EINTR))
			netload_fail("poll");
		if (ready > 0 && (wait.revents & POLLOUT) != 0 && sending)
			send_piece(load, end);
		if (ready > 0 && (wait.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
			netload_arrival(load, guest_now_ns(), &last_ns);
			if (!receive_piece(load, end))
				break;
		}
		if (sending && netload_stop) {
			shutdown(end, SHUT_WR);
			sending = false;
		}
	}
	close(end);
}
