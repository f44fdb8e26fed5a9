# SPDX-License-Identifier: BSD-2-Clause
"""The Debian of debian/make_disk.sh on an NVMe disk, with a network: copies of its disk, with what is built from this repository in them.

    disk = make_disk(t.work, scrim_entry())
    with t.machine(boot=disk_arguments(disk), reboot=True, memory="1G") as machine:
        machine.wait_ready(BOOT_TIMEOUT)

The root file system lies on the device mapper's `root`; /tmp is in memory. What the guest's network reaches as HOST is this
machine's loopback.
"""

import shutil
import subprocess

from machine import BUILD, IMAGES, KERNEL_ARGS, MachineError

DEBIAN = IMAGES / "debian"
BOOT_TIMEOUT = 600
HOST = "10.0.2.2"
DISK_ARGS = f"root=/dev/mapper/root ro {KERNEL_ARGS}"

_PARTITION = 2048 * 512
_KERNEL, _INITRD, _SCRIM = "/vmlinuz", "/initrd.img", "/boot/scrim.elf"
_PROGRAMS = "/usr/local/bin"
_CONFIG = """\
serial --unit=0
terminal_output console serial
{commands}
boot
echo GRUB could not boot this
halt
"""


def linux_entry(args=""):
    """GRUB's commands for the bare machine."""
    return [f"linux {_KERNEL} {DISK_ARGS} {args}", f"initrd {_INITRD}"]


def scrim_entry(options="", args=""):
    """GRUB's commands for the same kernel on Scrim."""
    return [f"multiboot2 {_SCRIM} {options}", f"module2 {_KERNEL} {DISK_ARGS} {args}", f"module2 {_INITRD}"]


def make_disk(work, entry, files=None):
    """A disk in `work` whose GRUB runs the commands of `entry` at once. `files`: {path on it: path here}, or None for Scrim,
    scrimctl and the programs of build/guest.
    """
    base = DEBIAN / "disk.raw"
    if not base.exists():
        raise MachineError(f"{base} is missing: `make setup` makes it")
    work.mkdir(parents=True, exist_ok=True)
    config = work / "grub.cfg"
    config.write_text(_CONFIG.format(commands="\n".join(entry)))
    disk = work / "disk.raw"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(base), str(disk)], check=True)
    _write_files(work, disk, {"/boot/grub/grub.cfg": config, **(_what_is_built() if files is None else files)})
    return disk


def _what_is_built():
    programs = [BUILD / "scrimctl", *sorted((BUILD / "guest").iterdir())]
    return {_SCRIM: BUILD / "scrim.elf", **{f"{_PROGRAMS}/{program.name}": program for program in programs}}


def _write_files(work, disk, files):
    """By debugfs, which needs neither a mount nor root. It says what went wrong, but not by its exit status."""
    commands = work / "debugfs.commands"
    commands.write_text("".join(f"write {outside} {inside}\n" for inside, outside in files.items()))
    tool = shutil.which("debugfs", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not tool:
        raise MachineError("debugfs is missing: install e2fsprogs (`make setup`)")
    done = subprocess.run([tool, "-w", "-f", str(commands), f"{disk}?offset={_PARTITION}"], capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() + done.stderr.splitlines()
            if line and not line.startswith(("debugfs ", "debugfs: write ", "Allocated inode: "))]
    if done.returncode or said:
        raise MachineError(f"debugfs could not write into {disk}:\n" + "\n".join(said))


def disk_arguments(disk):
    """QEMU arguments that boot the disk."""
    return ["-drive", f"file={disk},format=raw,if=none,id=root,cache=unsafe", "-device", "nvme,drive=root,serial=root,bootindex=1"]


def network_arguments():
    """QEMU arguments for an e1000e on QEMU's user network."""
    return ["-netdev", "user,id=net,ipv6=off", "-device", "e1000e,netdev=net"]


def data_arguments(image):
    """QEMU arguments for a second NVMe disk."""
    return ["-drive", f"file={image},format=raw,if=none,id=data,cache=unsafe", "-device", "nvme,drive=data,serial=data"]
