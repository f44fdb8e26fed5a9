/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to Scrim, and the diagnosis of why there is nobody to ask. Owns the IN instruction and the right to the
 * port. The right is the OS's to give and belongs to this thread on whichever CPU it runs.
 */
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <unistd.h>

#include "explain.h"
#include "names.h"

/* A 32-bit access is allowed only with the rights to all four ports that it covers (Intel SDM vol. 1, 19.5.2). */
#define PORT_SPAN     4

#define LOCKDOWN_FILE "/sys/kernel/security/lockdown"

static int linux_open(void *context)
{
	(void)context;
	return ioperm(SCRIM_PORT, PORT_SPAN, 1) == 0 ? 0 : errno;
}

static void linux_in(void *context, struct registers *registers)
{
	(void)context;
	__asm__ volatile("inl %%dx, %%eax"
			 : "+a"(registers->eax), "+b"(registers->ebx), "+c"(registers->ecx), "+S"(registers->esi),
			   "+D"(registers->edi)
			 : "d"(SCRIM_PORT)
			 : "memory", "cc");
}

static bool linux_is_root(void *context)
{
	(void)context;
	return geteuid() == 0;
}

static bool linux_lockdown(void *context, char *line, size_t size)
{
	FILE *file = fopen(LOCKDOWN_FILE, "re");
	bool read;

	(void)context;
	if (file == NULL)
		return false;
	read = fgets(line, (int)size, file) != NULL;
	fclose(file);
	return read;
}

const struct port_ops linux_port = {
	.open = linux_open,
	.in = linux_in,
	.is_root = linux_is_root,
	.lockdown = linux_lockdown,
};

/* The word in brackets is the mode in force. */
static const char *lockdown_mode(char *line)
{
	char *start = strchr(line, '[');
	char *end = start == NULL ? NULL : strchr(start, ']');

	if (end == NULL)
		return NULL;
	*end = '\0';
	return start + 1;
}

static void complain_no_permission(const struct session *session)
{
	char line[128];
	const char *mode;

	if (!session->port->is_root(session->context)) {
		complain(session,
			 "no right to Scrim's I/O port, only root gets it; run this as root (sudo scrimctl ...)");
		return;
	}
	mode = session->port->lockdown(session->context, line, sizeof(line)) ? lockdown_mode(line) : NULL;
	if (mode == NULL)
		complain(session,
			 "the kernel refuses the I/O port to root, either by lockdown or in a container without "
			 "CAP_SYS_RAWIO; leave the container, or mount securityfs on /sys/kernel/security and "
			 "read lockdown there");
	else if (strcmp(mode, "none") == 0)
		complain(session,
			 "the kernel refuses the I/O port to this root, which lacks CAP_SYS_RAWIO (kernel lockdown "
			 "is off); run scrimctl outside the container or with that capability");
	else
		complain(session,
			 "the kernel is locked down (mode %s) and refuses I/O ports even to root; switch Secure "
			 "Boot off in the firmware, or boot without lockdown= on Linux's command line",
			 mode);
}

static void complain_no_port(const struct session *session, int error)
{
	if (error == EPERM || error == EACCES)
		complain_no_permission(session);
	else if (error == ENOSYS || error == EIO)
		complain(session,
			 "this kernel gives no program I/O ports (ioperm: %s); boot one that is built with "
			 "CONFIG_X86_IOPL_IOPERM",
			 strerror(error));
	else
		complain(session, "no right to Scrim's I/O port (ioperm: %s); try again when the cause is gone",
			 strerror(error));
}

/*
 * Whether nobody answered VERSION. An undecoded port reads all ones, but QEMU's TCG reads 0 where a 32-bit access is
 * not aligned, which looks like SCRIM_OK; then the registers still have the argument, and no ABI has the number 0.
 */
static bool nobody_answered(const struct reply *reply)
{
	return reply->status == SCRIM_ABSENT || (reply->status == SCRIM_OK && reply->result0 == 0);
}

bool request_connect(const struct session *session, uint32_t *version)
{
	int error = session->port->open(session->context);
	struct reply reply;

	if (error != 0) {
		complain_no_port(session, error);
		return false;
	}
	reply = request(session, SCRIM_OP_VERSION, 0, 0);
	if (nobody_answered(&reply)) {
		complain(session,
			 "this Linux does not run on Scrim, nobody answers at port 0x%x; boot the GRUB entry that "
			 "loads scrim.elf (dmesg shows what was booted; if it was that one, Scrim stepped aside and "
			 "its lines on the console before Linux's say why)",
			 SCRIM_PORT);
		return false;
	}
	if (reply.status != SCRIM_OK) {
		complain(session,
			 "something answers 0x%x at port 0x%x that is not a Scrim this program knows; install the "
			 "scrimctl that came with the scrim.elf that was booted",
			 reply.status, SCRIM_PORT);
		return false;
	}
	if (reply.result0 != SCRIM_ABI_VERSION) {
		complain(session,
			 "Scrim speaks ABI %llu and this scrimctl ABI %u; install the scrimctl that came with the "
			 "scrim.elf that was booted",
			 (unsigned long long)reply.result0, SCRIM_ABI_VERSION);
		return false;
	}
	*version = (uint32_t)reply.result1;
	return true;
}

struct reply request(const struct session *session, enum scrim_op op, uint64_t argument0, uint64_t argument1)
{
	struct registers registers = {
		.eax = SCRIM_REQUEST(op),
		.ebx = (uint32_t)argument0,
		.ecx = (uint32_t)(argument0 >> 32),
		.esi = (uint32_t)argument1,
		.edi = (uint32_t)(argument1 >> 32),
	};

	session->port->in(session->context, &registers);
	return (struct reply){
		.status = registers.eax,
		.result0 = (uint64_t)registers.ecx << 32 | registers.ebx,
		.result1 = (uint64_t)registers.edi << 32 | registers.esi,
	};
}

bool request_info(const struct session *session, enum scrim_info what, uint64_t *value)
{
	struct reply reply = request(session, SCRIM_OP_INFO, what, 0);

	if (reply.status != SCRIM_OK) {
		explain(session, "reading Scrim's state", SCRIM_OP_INFO, &reply);
		return false;
	}
	*value = reply.result0;
	return true;
}

bool request_state(const struct session *session, enum scrim_state *state)
{
	uint64_t value;

	if (!request_info(session, SCRIM_INFO_STATE, &value))
		return false;
	if (value >= SCRIM_STATE_COUNT) {
		complain(session,
			 "Scrim reports state %llu, which this program does not know; install the scrimctl that came "
			 "with the scrim.elf that was booted",
			 (unsigned long long)value);
		return false;
	}
	*state = (enum scrim_state)value;
	return true;
}
