# SPDX-License-Identifier: BSD-2-Clause
"""The fixed loads in a KVM guest inside the test machine. Shared with bench/.

The machine's kernel is Debian's full one with its KVM modules; `make setup` has put them beside it. In its initramfs is this
host's qemu-system-x86_64, which is Debian's package, with its libraries and firmware. That starts the same kernel, with the
same initramfs, that the bare machine and Scrim run.

The guest has as much memory as the bare machine, and the host enough beside it. The guest's clock is not scaled: its TSC
counts the instructions of the whole machine, those of KVM and of QEMU as KVM's user among them.
"""

import pathlib
import sys

import fixed_loads
import newc
import switch_cost
from initramfs.build import add_dynamic, needed_program, padded
from machine import IMAGES, KERNEL_ARGS, MachineError, initrd_with

HOST_KERNEL = "full"
HOST_MEMORY = "2G"
TIMEOUT = 900  # a guest that waits for ever is told by it
SEEDS = (1, 2, 3)
MODULES = ("irqbypass", "ccp", "kvm", "kvm-amd")  # in the order of their loading
FIRMWARE = ("/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/linuxboot_dma.bin", "/usr/share/qemu/kvmvapic.bin")
COUNTERS = ("exits", "pf_taken", "pf_fixed", "pf_guest", "pf_emulate", "mmu_pte_write", "mmu_cache_miss", "mmu_shadow_zapped",
            "insn_emulation", "invlpg", "tlb_flush", "io_exits", "irq_exits", "halt_exits")
LOOK = "echo look && read -r go </dev/ttyS1"

# The guest's second serial port is a pair of pipes. Where a line says that the guest waits, KVM's counters are read and it
# is told to go on; all other lines are passed on. At the end of the last writer, QEMU, the loop ends.
HOST_SCRIPT = """
cd /kvm
for module in {modules}; do
	option=
	[ $module = kvm-amd ] && option=npt={npt}
	insmod $module.ko $option || exit
done
mkfifo /tmp/guest.in /tmp/guest.out
{{
	qemu-system-x86_64 -L /kvm -accel kvm -machine q35 -cpu host -m {memory} -nodefaults -display none -no-reboot \\
		-kernel vmlinuz -initrd initrd -append "{arguments}" -serial file:/tmp/console \\
		-chardev pipe,id=second,path=/tmp/guest -serial chardev:second >/tmp/said 2>&1
	echo "qemu status $?"
}} >/tmp/guest.out &
exec 4<>/tmp/guest.in
while read -r line; do
	case $line in
	look)
		separator=
		printf 'counters {{'
		for name in {counters}; do
			read -r value </sys/kernel/debug/kvm/$name
			printf '%s"%s": %s' "$separator" $name $value
			separator=', '
		done
		echo '}}'
		echo go >&4
		;;
	'autorun status 0') passed=yes ;;
	'qemu status 0') [ "$passed" ] && exit 0 ;;
	*) echo "$line" ;;
	esac
done </tmp/guest.out
cat /tmp/said /tmp/console
exit 1
"""


def loads(machine_of, work, npt, suite, seed):
    """{"kvm-npt" or "kvm-shadow": {load: Seen}}: KVM with nested paging, or with its shadow page tables. `work` is a directory."""
    phase = "kvm-npt" if npt else "kvm-shadow"
    script = fixed_loads.warm_up(suite) + fixed_loads.measure(phase, suite, LOOK)
    host = HOST_SCRIPT.format(modules=" ".join(MODULES), npt=int(npt), memory=fixed_loads.MEMORY, arguments=KERNEL_ARGS,
                              counters=" ".join(COUNTERS))
    lines = switch_cost.counted(machine_of, seed, host, timeout=TIMEOUT, scrim=False, kernel=HOST_KERNEL,
                                memory=HOST_MEMORY, initrd=host_initrd(pathlib.Path(work), script, suite.initrd))
    return fixed_loads.parsed(lines)


def loads_by_some_seed(machine_of, work, npt, suite, seeds):
    """As loads(). In some runs the guest waits for ever (docs/performance.md); a seed with which it did is taken out of `seeds`, and the next is tried."""
    while len(seeds) > 1:
        try:
            return loads(machine_of, work, npt, suite, seeds[0])
        except MachineError as reason:
            print(f"KVM with seed {seeds.pop(0)}: {str(reason).splitlines()[0]}", file=sys.stderr, flush=True)
    return loads(machine_of, work, npt, suite, seeds[0])


def host_initrd(work, script, guest_initrd):
    """The tests' initramfs, and behind it what the host of the guest that runs `script` needs. Returns its path."""
    work.mkdir(parents=True, exist_ok=True)
    archive = newc.Archive()
    add_dynamic(archive, [needed_program("qemu-system-x86_64")])
    for path in FIRMWARE:
        archive.file(f"kvm/{pathlib.Path(path).name}", pathlib.Path(path).read_bytes())
    for name in MODULES:
        archive.file(f"kvm/{name}.ko", module(name).read_bytes())
    base = IMAGES / "initramfs.cpio.gz"
    archive.file("kvm/vmlinuz", (IMAGES / "vmlinuz-cloud").read_bytes())
    archive.file("kvm/initrd", initrd_with({"autorun": script}, guest_initrd, work / "guest.initrd").read_bytes())
    initrd = work / "host.initrd"
    initrd.write_bytes(padded(base.read_bytes()) + archive.bytes())
    return initrd


def module(name):
    """Path of one of KVM's modules."""
    path = IMAGES / f"kvm-{HOST_KERNEL}" / f"{name}.ko"
    if not path.exists():
        raise MachineError(f"{path} is missing: run `make setup`")
    return path
