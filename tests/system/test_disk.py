# SPDX-License-Identifier: BSD-2-Clause
"""A real Debian on an NVMe disk: GRUB boots it on Scrim to multi-user, it installs a package over the network, and reboots."""

import contextlib
import functools
import http.server
import threading

import cpus
import disk
from registry import check, check_equal, test
from test_dmesg import normalized

CPUS = 2
MEMORY = "1G"
INSTALL_TIMEOUT = 300
WORST = "dmesg --level=emerg,alert,crit,err,warn"
# A network card finds its link in its own time, perhaps after multi-user.
LINK_READY = "[ ! -e /sys/class/net/enp0s3 ] || until dmesg | grep -q 'enp0s3: link becomes ready'; do sleep 0.2; done"
# SVM is Scrim's: the OS is told that firmware has disabled it.
EXPECTED = {"kvm: support for 'kvm_amd' disabled by bios"}


def debian(t, entry, name, extra=(), **how):
    """A machine that boots a disk of its own by the commands of `entry`."""
    image = disk.make_disk(t.work / name, entry)
    return t.machine(boot=disk.disk_arguments(image), cpus=CPUS, memory=MEMORY, reboot=True,
                     extra=[*disk.network_arguments(), *extra], **how)


def wait_multi_user(machine):
    """Waits until systemd has started all that it is to start, and nothing has failed. Returns the machine."""
    machine.wait_ready(disk.BOOT_TIMEOUT)
    _, state = machine.run("systemctl is-system-running --wait", disk.BOOT_TIMEOUT)
    check_equal(state.strip(), "running", "state of systemd; failed: " + machine.run("systemctl --no-legend --failed")[1])
    check_equal(machine.must("systemctl is-active multi-user.target serial-getty@ttyS0.service").split(), ["active"] * 2,
                "multi-user, serial login")
    machine.must("udevadm settle", disk.BOOT_TIMEOUT)  # what it loads has its say in the log
    machine.must(LINK_READY, disk.BOOT_TIMEOUT)
    check_equal(machine.must("findmnt -no SOURCE,FSTYPE /"), "/dev/mapper/root ext4", "root file system")
    return machine


def errors(machine):
    """What the kernel's log has of warnings and worse, as a multiset."""
    return normalized(machine.must(WORST).splitlines())


@contextlib.contextmanager
def repository():
    """Serves the local repository on the loopback. Yields its port."""
    handler = functools.partial(QuietHandler, directory=disk.DEBIAN / "repository")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """One that keeps no log."""

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


def install(machine, port):
    """apt checks what it downloads, dpkg what it has unpacked."""
    machine.must(f"echo 'deb [trusted=yes] http://{disk.HOST}:{port} ./' >/etc/apt/sources.list")
    machine.must("apt-get -qq update && apt-get -qq -y install hello", INSTALL_TIMEOUT)
    check_installed(machine)


def check_installed(machine):
    """All of its files are as its list of digests says."""
    check_equal(machine.must("hello; dpkg --verify --verify-format rpm hello"), "Hello, world!",
                "what the package says, and what is changed in it")


@test("disk-boots", cost=150)
def disk_boots(t):
    with debian(t, disk.linux_entry(), "bare", scrim=False) as machine:
        bare = errors(wait_multi_user(machine))
    rounds = t.pick(1, 5)
    with debian(t, disk.scrim_entry(), "scrim") as machine, repository() as port:
        for number in range(rounds + 1):
            wait_multi_user(machine)
            cpus.check_settled(machine, "native")
            new = errors(machine) - bare
            for line in EXPECTED:
                new.pop(line, None)
            check(not new, f"boot {number}: new in the kernel's log:\n" + "\n".join(new.elements()))
            if number > 0:
                check_installed(machine)
                machine.must("apt-get -qq -y purge hello", INSTALL_TIMEOUT)
            if number < rounds:
                install(machine, port)
                machine.send("systemctl reboot")
                machine.wait_event("RESET", disk.BOOT_TIMEOUT)
        machine.send("systemctl poweroff")
        check_equal(machine.wait_exit(disk.BOOT_TIMEOUT), 0, "QEMU's exit status")
    print(f"figure: Debian on disk: {rounds + 1} boots to multi-user on Scrim, a package installed over the network and found again after "
          f"the reboot, {sum(bare.values())} warnings of the kernel's as on the bare machine and no other")
