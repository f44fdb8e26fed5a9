# SPDX-License-Identifier: BSD-2-Clause
"""fio writes to an NVMe disk and verifies all of it, over and over, while memory is virtualized and devirtualized."""

import contextlib
import re

import disk
from registry import check, check_equal, test
from test_disk import debian, wait_multi_user
from under_load import quiet_log

DATA_MIB = 64
END_TIMEOUT = 600
SCRIMCTL = "/tmp/scrimctl"  # in memory, so that it runs while the disks are held
HOLD = "/tmp/hold root data --"
FIO = ("fio --name=verified --filename=/dev/mapper/data --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bsrange=4k-64k "
       "--verify=crc32c --verify_fatal=1 --verify_backlog=64 --output-format=terse --terse-version=3")


def nvme_machine(t, entry, **how):
    """Debian on disk with a second NVMe disk for fio."""
    data = t.work / "data.raw"
    data.parent.mkdir(parents=True, exist_ok=True)
    with open(data, "wb") as file:
        file.truncate(DATA_MIB << 20)
    return debian(t, entry, "nvme", extra=[*disk.data_arguments(data), *how.pop("extra", ())], **how)


def prepare(machine):
    """Maps the disk as `data`, which can be held. Returns the machine."""
    wait_multi_user(machine)
    machine.must(f"cp /usr/local/bin/scrimctl {SCRIMCTL} && cp /usr/local/bin/hold /tmp/hold\n"
                 "disk=$(readlink -f /dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_data) && "
                 'dmsetup create data --table "0 $(blockdev --getsz $disk) linear $disk 0"')
    return machine


class Fio:
    """Writes the whole disk and verifies it, again and again, from now until stop()."""

    def __init__(self, machine):
        self._machine = machine
        self._job = machine.spawn(f"while [ ! -e /tmp/fio.stop ]; do {FIO} --randseed=$((seed += 1)) || exit; echo turn $seed; done")

    def turns(self):
        """How often the whole disk has been verified."""
        check(self._job.poll() is None, "fio has ended:", self._job.output() if self._job.poll() is not None else "")
        return len(re.findall(r"^turn \d+$", self._job.output(), re.MULTILINE))

    def stop(self):
        """Waits for the end of this turn. Returns the turns."""
        self._machine.must("touch /tmp/fio.stop")
        status, output = self._job.wait(END_TIMEOUT)
        check_equal(status, 0, f"exit status of fio ({output})")
        return len(re.findall(r"^turn \d+$", output, re.MULTILINE))


@contextlib.contextmanager
def under_fio(machine, least=1):
    """Fails unless fio has found all that it wrote, the whole disk `least` times or more. Prints figures."""
    fio = Fio(machine)
    yield fio
    while fio.turns() < least:
        machine.must("sleep 1")
    turns = fio.stop()
    print(f"figure: fio wrote {DATA_MIB} MiB of an NVMe disk {turns} times and found every block as it was written")


def check_finds_wrong_bytes(t, machine):
    """The test can fail: fio ends at bytes that have changed on the disk behind its back."""
    machine.must("rm /tmp/fio.stop")
    job = machine.spawn(FIO)
    with open(t.work / "data.raw", "r+b", buffering=0) as data:
        while (status := job.poll()) is None:
            for at in range(0, DATA_MIB << 20, 4096):
                data.seek(at + 1000)
                data.write(b"wrong")
    check(status != 0 and "verify" in job.output(), f"fio's status is {status} though its disk was changed: {job.output()}")


@test("nvme-under-switch", cost=100)
def nvme_under_switch(t):
    """Identity displaces nothing, so no device needs to be told; every third round with the disks held, which has to be harmless too."""
    with nvme_machine(t, disk.scrim_entry()) as machine:
        prepare(machine)
        with quiet_log(machine), under_fio(machine):
            for number in range(t.pick(15, 300)):
                hold = HOLD if number % 3 == 0 else ""
                machine.must(f"{hold} {SCRIMCTL} virtualize")
                check_equal(machine.status()["state"], "virtualized", f"state, round {number}")
                machine.must(f"sleep 0.2; {hold} {SCRIMCTL} devirtualize")
                check_equal(machine.status()["state"], "native", f"state, round {number}")
        check_finds_wrong_bytes(t, machine)
