# SPDX-License-Identifier: BSD-2-Clause
"""The loads that are programs of Debian's, this host's: GCC's compiler proper, and redis with the client of our own that knows each answer.

What GCC prints is compared between the systems, as is what the client says; the client ends the run at an answer that is not the expected one.
"""

import os
import pathlib
import subprocess

import newc
from fixed_loads import Program, Suite
from initramfs.build import add_dynamic, needed_program, padded

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCE = ROOT / "tests" / "guest" / "ask.c"
SOCKET = "/tmp/redis.socket"
PIPELINES, EACH, KEYS = 60, 16, 512  # of tests/guest/redisload.c: commands in flight, and keys that it reads at its end

PROGRAMS = {
    "compile": Program("a file compiled by GCC", 1, "cc1 -quiet -fpreprocessed -O1 /bench/compile.i -o -"),
    "redis": Program(
        f"{PIPELINES * EACH + KEYS} commands of redis", PIPELINES * EACH + KEYS, f"redisload {SOCKET} {PIPELINES}",
        before=f'redis-server --port 0 --unixsocket {SOCKET} --save "" --appendonly no --hz 1 --dir /tmp >/tmp/redis.log 2>&1 &\nserver=$!\n'
               f"while [ ! -S {SOCKET} ]; do sleep 0.1; done",
        after="kill $server\nwait $server"),
}


def initrd(work):
    """The tests' initramfs, and the programs behind it. Returns its path, in the directory `work`."""
    archive = newc.Archive()
    compiler = subprocess.run(["gcc", "-print-prog-name=cc1"], check=True, capture_output=True, text=True).stdout.strip()
    add_dynamic(archive, [compiler, os.path.realpath(needed_program("redis-server"))])
    archive.symlink("bin/redis-server", os.path.basename(os.path.realpath(needed_program("redis-server"))))
    archive.file("bench/compile.i", preprocessed())
    path = work / "programs.initrd"
    path.write_bytes(padded(Suite().initrd.read_bytes()) + archive.bytes())
    return path


def preprocessed():
    """SOURCE as the compiler proper gets it."""
    return subprocess.run(["gcc", "-E", "-P", "-D_GNU_SOURCE", f"-I{ROOT / 'abi'}", SOURCE], check=True, capture_output=True).stdout
