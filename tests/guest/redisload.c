/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of redis that knows every answer beforehand. It keeps, for each of its keys, which generation of a value the
 * server must hold, and talks RESP over a UNIX socket, several commands in flight. The first answer that is not the
 * expected one ends the program with status 1, as does a server that does not answer. Ends on SIGTERM, or after a number of
 * pipelines, when all keys were read once more.
 */
#include "guest_util.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define KEYS      512u
#define VALUE_MAX 6000u
#define PIPELINE  16u
#define BUFFER    (PIPELINE * (VALUE_MAX + 128))

enum command { COMMAND_SET, COMMAND_GET, COMMAND_DEL, COMMAND_INCR, COMMAND_COUNT };

struct redisload {
	int socket;
	uint64_t random, answers, bytes;
	uint32_t generation[KEYS]; /* 0: the key is not there */
	uint64_t counter;
	uint32_t last_generation;
	char expected[BUFFER], request[BUFFER];
	size_t expected_length, request_length;
};

static _Atomic bool redisload_stop;

static void redisload_end(int signal)
{
	(void)signal;
	redisload_stop = true;
}

static size_t value_of(unsigned key, uint32_t generation, char *value)
{
	uint64_t random = (uint64_t)key << 32 | generation;
	size_t length = 1 + guest_mix(random) % VALUE_MAX;

	for (size_t i = 0; i < length; i++)
		value[i] = (char)('!' + guest_random(&random) % 90);
	return length;
}

__attribute__((format(printf, 4, 5))) static void append(char *buffer, size_t *length, size_t limit, const char *format,
							 ...)
{
	va_list arguments;

	va_start(arguments, format);
	*length += (size_t)vsnprintf(buffer + *length, limit - *length, format, arguments);
	va_end(arguments);
}

#define ASK(load, ...)    append((load)->request, &(load)->request_length, BUFFER, __VA_ARGS__)
#define EXPECT(load, ...) append((load)->expected, &(load)->expected_length, BUFFER, __VA_ARGS__)

/* Adds one command to the pipeline, and its answer to what is expected. */
static void add(struct redisload *load, enum command command, unsigned key)
{
	char value[VALUE_MAX + 1], name[32];
	size_t length;

	snprintf(name, sizeof(name), "key:%u", key);
	switch (command) {
	case COMMAND_SET:
		load->generation[key] = ++load->last_generation;
		length = value_of(key, load->generation[key], value);
		ASK(load, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n%.*s\r\n", strlen(name), name, length, (int)length,
		    value);
		EXPECT(load, "+OK\r\n");
		break;
	case COMMAND_GET:
		ASK(load, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(name), name);
		if (load->generation[key] == 0) {
			EXPECT(load, "$-1\r\n");
			break;
		}
		length = value_of(key, load->generation[key], value);
		EXPECT(load, "$%zu\r\n%.*s\r\n", length, (int)length, value);
		break;
	case COMMAND_DEL:
		ASK(load, "*2\r\n$3\r\nDEL\r\n$%zu\r\n%s\r\n", strlen(name), name);
		EXPECT(load, ":%d\r\n", load->generation[key] != 0);
		load->generation[key] = 0;
		break;
	case COMMAND_INCR:
	case COMMAND_COUNT:
		ASK(load, "*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n");
		EXPECT(load, ":%" PRIu64 "\r\n", ++load->counter);
		break;
	}
	load->answers++;
}

static void send_all(const struct redisload *load)
{
	for (size_t sent = 0; sent < load->request_length;) {
		ssize_t count = write(load->socket, load->request + sent, load->request_length - sent);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			perror("redisload: write");
			exit(1);
		}
		sent += (size_t)count;
	}
}

/* Every byte of the answers is known. */
static void receive_all(struct redisload *load)
{
	static char answer[BUFFER];

	for (size_t received = 0; received < load->expected_length;) {
		ssize_t count = read(load->socket, answer, load->expected_length - received);

		if (count < 0 && errno == EINTR) /* by SIGTERM: a socket with a timeout is not read again by itself */
			continue;
		if (count <= 0) {
			perror("redisload: read");
			exit(1);
		}
		if (memcmp(answer, load->expected + received, (size_t)count) != 0) {
			size_t at = 0;

			while (answer[at] == load->expected[received + at])
				at++;
			fprintf(stderr,
				"redisload: WRONG: answer %" PRIu64
				", byte %zu of the pipeline: %.20s, expected %.20s\n",
				load->answers, received + at, answer + at, load->expected + received + at);
			exit(1);
		}
		received += (size_t)count;
	}
	load->bytes += load->expected_length;
	load->expected_length = load->request_length = 0;
}

static void pipeline(struct redisload *load)
{
	for (unsigned i = 0; i < PIPELINE; i++) {
		uint64_t random = guest_random(&load->random);
		unsigned choice = (unsigned)(random >> 32) % 16;

		add(load,
		    choice < 5    ? COMMAND_SET
		    : choice < 13 ? COMMAND_GET
		    : choice < 14 ? COMMAND_DEL
				  : COMMAND_INCR,
		    (unsigned)random % KEYS);
	}
	send_all(load);
	receive_all(load);
}

static void read_all_keys(struct redisload *load)
{
	for (unsigned key = 0; key < KEYS; key++) {
		add(load, COMMAND_GET, key);
		send_all(load);
		receive_all(load);
	}
}

int main(int argc, char **argv)
{
	static struct redisload load = { .random = 1 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 120 };

	if ((argc != 2 && argc != 3) || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fputs("redisload SOCKET [PIPELINES]\n"
		      "Talks to redis and checks every answer until SIGTERM, or for so many pipelines.\n",
		      stderr);
		return 2;
	}
	strcpy(address.sun_path, argv[1]);
	signal(SIGTERM, redisload_end);
	load.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (load.socket < 0 || setsockopt(load.socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
	    connect(load.socket, (struct sockaddr *)&address, sizeof(address)) != 0) {
		fprintf(stderr, "redisload: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	for (uint64_t left = argc == 3 ? strtoull(argv[2], NULL, 0) : UINT64_MAX; left > 0 && !redisload_stop; left--)
		pipeline(&load);
	read_all_keys(&load);
	printf("{\"tool\": \"redisload\", \"answers\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"wrong\": 0}\n",
	       load.answers, load.bytes);
	return 0;
}
