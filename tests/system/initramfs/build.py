#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Builds the initramfs of the test machine.

    build.py BUILD

writes BUILD/images/initramfs.cpio.gz (busybox, scrimctl, stress-ng, kexec, ethtool, every program of BUILD/guest) and
BUILD/images/initramfs-kexec.cpio.gz: the same, and a second archive behind it with /boot/vmlinuz and /boot/initramfs, which
is the first one. An initramfs cannot hold itself; Linux unpacks archives that follow one another. For i386 kernels
BUILD/images/initramfs-i386.cpio.gz: that archive's busybox, and the programs of BUILD/guest-i386, scrimctl among them. For Bochs
BUILD/images/initramfs-small.cpio: busybox, scrimctl and few programs, not packed, since reading is cheaper there than unpacking.
"""

import gzip
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import newc  # noqa: E402

DYNAMIC_PROGRAMS = ("stress-ng", "kexec", "ethtool")
SMALL_PROGRAMS = ("load", "switcher", "ask")  # tests add what else they need (files=)
EMPTY_DIRECTORIES = ("proc", "sys", "dev", "tmp", "root", "etc", "run", "var")


def main():
    build = pathlib.Path(sys.argv[1])
    images = build / "images"
    base = gzip.compress(base_archive(build), compresslevel=6, mtime=0)
    write_whole(images / "initramfs.cpio.gz", base)
    write_whole(images / "initramfs-kexec.cpio.gz", padded(base) + kexec_archive(images, base))
    write_whole(images / "initramfs-small.cpio", small_archive(build))
    write_whole(images / "initramfs-i386.cpio.gz", gzip.compress(i386_archive(build), compresslevel=6, mtime=0))


def base_archive(build):
    archive = newc.Archive()
    add_skeleton(archive)
    add_busybox(archive, needed_program("busybox"))
    add_dynamic(archive, [needed_program(name) for name in DYNAMIC_PROGRAMS])
    add_modules(archive, build / "images")
    for program in static_programs(build):
        archive.file(f"bin/{program.name}", program.read_bytes(), 0o755)
    return archive.bytes()


def small_archive(build):
    archive = newc.Archive()
    add_skeleton(archive)
    add_busybox(archive, needed_program("busybox"))
    for program in static_programs(build):
        if program.name in SMALL_PROGRAMS + ("scrimctl",):
            archive.file(f"bin/{program.name}", program.read_bytes(), 0o755)
    return archive.bytes()


def i386_archive(build):
    archive = newc.Archive()
    add_skeleton(archive)
    add_busybox(archive, build / "images" / "i386" / "busybox")
    for program in programs_of(build / "guest-i386"):
        archive.file(f"bin/{program.name}", program.read_bytes(), 0o755)
    return archive.bytes()


def add_skeleton(archive):
    for name in EMPTY_DIRECTORIES:
        archive.directory(name)
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3, 0o666)
    archive.file("init", (HERE / "init").read_bytes(), 0o755)
    archive.file("bin/agent", (HERE / "agent").read_bytes(), 0o755)
    archive.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    archive.file("etc/group", "root:x:0:\nnogroup:x:65534:\n")


def add_busybox(archive, busybox):
    """The applets are those that the host's names: Debian configures it alike for all architectures."""
    applets = subprocess.run([needed_program("busybox"), "--list"], check=True, capture_output=True, text=True).stdout.split()
    archive.file("bin/busybox", pathlib.Path(busybox).read_bytes(), 0o755)
    for applet in applets:
        if applet not in DYNAMIC_PROGRAMS + ("busybox",):
            archive.symlink(f"bin/{applet}", "busybox")


def add_dynamic(archive, programs):
    """Programs of the host with the shared libraries that its loader names, each under the path where it is looked for."""
    libraries = set()
    for program in programs:
        archive.file(f"bin/{os.path.basename(program)}", pathlib.Path(program).read_bytes(), 0o755)
        libraries |= shared_libraries(program)
    for library in sorted(libraries):
        is_loader = os.path.basename(library).startswith("ld-linux")
        archive.file(library if is_loader else f"lib/{os.path.basename(library)}", pathlib.Path(library).read_bytes(), 0o755)


def add_modules(archive, images):
    """/lib/modules/VERSION/NAME.ko, for insmod."""
    for directory in sorted(images.glob("modules-*")):
        version = (images / directory.name.replace("modules-", "version-")).read_text().strip()
        for module in sorted(directory.iterdir()):
            archive.file(f"lib/modules/{version}/{module.name}", module.read_bytes())


def shared_libraries(program):
    lines = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.splitlines()
    words = [word for line in lines for word in line.split() if word.startswith("/")]
    if any("not found" in line for line in lines) or not words:
        sys.exit(f"initramfs: {program} lacks a shared library:\n" + "\n".join(lines))
    return set(words)


def static_programs(build):
    """scrimctl, where it is built already, and every program of the guest test suite."""
    scrimctl = build / "scrimctl"
    programs = [scrimctl] if scrimctl.exists() else []
    return programs + programs_of(build / "guest")


def programs_of(directory):
    return sorted(path for path in directory.glob("*") if path.is_file() and os.access(path, os.X_OK))


def kexec_archive(images, base):
    archive = newc.Archive()
    archive.file("boot/vmlinuz", (images / "vmlinuz-cloud").read_bytes())
    archive.file("boot/initramfs", base)
    return archive.bytes()


def needed_program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        sys.exit(f"initramfs: {name} is not installed; run `make setup`")
    return found


def padded(data):
    return data + b"\0" * (-len(data) % 4)


def write_whole(path, data):
    """Never leaves half a file where a test could find it; keeps an equal file as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_bytes() == data:
        path.touch()
        return
    partial = path.with_suffix(".new")
    partial.write_bytes(data)
    partial.rename(path)


if __name__ == "__main__":
    main()
