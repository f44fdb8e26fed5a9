# SPDX-License-Identifier: BSD-2-Clause
"""The package, from `apt install` to `apt purge`: on a Debian of its own it boots by the menu that update-grub makes, and leaves no trace."""

import contextlib
import difflib
import re

import disk
from machine import BUILD, KERNEL_ARGS, MachineError
from registry import SOAK, check, check_equal, test
from test_disk import CPUS, MEMORY, errors, wait_multi_user

APT_TIMEOUT = 300
RESERVE = 24 << 20
# Beside Debian's own kernel, the only one that boots, stands one without an initrd.
OLD_KERNEL = "5.10.0-1-old"
PREPARE = f"""
cat >/etc/default/grub <<'END'
GRUB_DEFAULT=saved
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX="{KERNEL_ARGS}"
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --unit=0"
# The file system is on two block devices: the partition, and the mapping of it.
GRUB_DISABLE_LINUX_UUID=true
END
cp /boot/vmlinuz-$(uname -r) /boot/vmlinuz-{OLD_KERNEL}
grub-editenv - create
update-grub
"""
# What the package could leave behind. grubenv is what grub-reboot writes to; documents are not on the disk, whatever dpkg says.
LOOK = """
cd /
find boot etc -type f ! -path boot/grub/grubenv -exec md5sum {} + | sort -k 2
find boot etc ! -path boot/grub/grubenv -printf '%p %M %u %g %l\\n' | sort
find . -xdev -iname '*scrim*' ! -path './root/*.deb' | sort
dpkg --get-selections
dpkg --verify | grep -v ' /usr/share/\\(doc\\|info\\|locale\\|man\\)\\>' || true
"""
COMPLETE = """
bash <<'END'
. /usr/share/bash-completion/completions/scrimctl
complete -p scrimctl >/dev/null || exit 1
offer() {
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_scrimctl
	echo "${COMPREPLY[*]}"
}
offer scrimctl ''
offer scrimctl de
offer scrimctl devirtualize --re
END
"""


def package():
    """The package that `make deb` has made."""
    found = sorted(BUILD.glob("scrim_*_amd64.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise MachineError(f"{BUILD} holds no package: `make deb` makes it")
    return found[-1]


@contextlib.contextmanager
def booted(t, image, firmware):
    """The disk in a machine of its own, switched off at the end. A reboot would take minutes: QEMU writes slowly where code has lain."""
    with t.machine(boot=disk.disk_arguments(image), firmware=firmware, cpus=CPUS, memory=MEMORY) as machine:
        yield wait_multi_user(machine)
        machine.send("systemctl poweroff")
        check_equal(machine.wait_exit(disk.BOOT_TIMEOUT), 0, "QEMU's exit status")


def check_menu(machine, before):
    """The menu has Scrim once as a whole and once for each kernel, and what it had, in the same order."""
    config = machine.must("cat /boot/grub/grub.cfg")
    kernels = machine.must("cd /boot && ls -r vmlinuz-*").replace("vmlinuz-", "scrim-").split()
    check_equal(re.findall(r"--id '(scrim\S*)'", config), ["scrim", "scrim-advanced", *kernels], "ids of the menu's entries for Scrim")
    left = re.sub(r"### BEGIN /etc/grub.d/20_linux_scrim ###.*?### END /etc/grub.d/20_linux_scrim ###\n\n", "", config, flags=re.DOTALL)
    check_equal(left, before, "the rest of the menu")


def check_completion(machine):
    """bash completes what scrimctl says that there is."""
    help_text = machine.must("scrimctl --help")
    verbs = re.findall(r"^  ([a-z-]+) ", help_text.split("Verbs:\n")[1].split("\n\n")[0], re.MULTILINE)
    check("devirtualize" in verbs, "scrimctl --help lists no verbs as it did:\n" + help_text)
    check_equal(machine.must(COMPLETE).splitlines(), [" ".join([*verbs, "--help", "--version"]), "devirtualize", "--remap --reverse"],
                "what bash completes")


def install(machine):
    """Installs, says how much to reserve, and chooses Scrim for the next boot, once."""
    before = machine.must("cat /boot/grub/grub.cfg").rstrip()
    machine.must("apt-get -qq -y install ./scrim_*.deb", APT_TIMEOUT)
    check_menu(machine, before)
    machine.must(f"sed -i 's/^SCRIM_OPTIONS=.*/SCRIM_OPTIONS=\"reserve={RESERVE >> 20}M\"/' /etc/default/scrim && update-grub", APT_TIMEOUT)
    machine.must("grub-reboot scrim")


def check_native(machine):
    """Nothing but the package's own scrimctl is there to ask."""
    status = machine.status()
    check_equal((status["state"], [cpu["mode"] for cpu in status["cpus"]]), ("native", ["native"] * CPUS), "state, and modes of the CPUs")
    return status


def check_on_scrim(machine):
    memory = check_native(machine)["memory"]
    check(memory["vmm_bytes"] - memory["fixed_bytes"] >= RESERVE, "/etc/default/scrim did not reach Scrim:", memory)
    check_equal(machine.must("dpkg --verify --verify-format rpm scrim | grep -v ' c /etc/default/scrim$' || true"), "",
                "files of the package that are not as it has them")
    check_completion(machine)
    machine.must("scrimctl virtualize && scrimctl check && scrimctl devirtualize")
    check_native(machine)


def check_same(after, before):
    """The purge has left nothing, and taken nothing with it."""
    changed = list(difflib.unified_diff(before.splitlines(), after.splitlines(), "before the installation", "after the purge", n=0, lineterm=""))
    check(not changed, "what the package leaves behind:\n" + "\n".join(changed))


def install_and_purge(t, firmware):
    image = disk.make_disk(t.work / "disk", disk.linux_entry(), {f"/root/{package().name}": package()})
    with booted(t, image, firmware) as machine:
        machine.must(PREPARE, APT_TIMEOUT)
        bare, before = errors(machine), machine.must(LOOK, APT_TIMEOUT)
        check("scrim" not in before, "the machine is not bare:", before)
        install(machine)
    with booted(t, image, firmware) as machine:
        check_on_scrim(machine)
        machine.must("apt-get -qq -y purge scrim", APT_TIMEOUT)
        check_same(machine.must(LOOK, APT_TIMEOUT), before)
    if t.soak:
        with booted(t, image, firmware) as machine:
            new = errors(machine) - bare
            check(not new, "new in the kernel's log after the purge:\n" + "\n".join(new.elements()))
    print(f"figure: {package().name} by {firmware.upper()}: installed offline, booted from GRUB's menu to a login on Scrim, purged; "
          f"{len(before.splitlines())} lines on /boot, /etc and packages are what they were")


@test("install-bios", cost=100)
def install_bios(t):
    install_and_purge(t, "bios")


@test("install-uefi", cost=150, when=SOAK)
def install_uefi(t):
    install_and_purge(t, "uefi")
