# Flags shared by everything that is compiled. CC may be gcc or clang.
comma := ,
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	    -Wpointer-arith -Wcast-qual -Wimplicit-fallthrough -Werror
CSTD := -std=gnu11

# `make V=1` shows the commands.
ifeq ($(V),1)
Q :=
else
Q := @
endif

# Of src/virt, what needs no CPU of its own: the host's tests and the fuzzer have it on a simulated machine.
VIRT_TESTED := dma.c shadow.c trace.c request.c request_map.c request_trace.c request_info.c memvirt.c machine_check.c moving.c port.c meet.c kick.c guard.c request_watch.c waiting.c watching.c
