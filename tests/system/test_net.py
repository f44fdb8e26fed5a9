# SPDX-License-Identifier: BSD-2-Clause
"""Network traffic at full speed through an e1000e, every byte verified at both ends, while memory is virtualized and devirtualized."""

import contextlib
import json
import re
import time

from disk import HOST, network_arguments
from net_peer import Peer
from registry import check, check_equal, test
from under_load import quiet_log

CPUS = 2
MEMORY = "512M"
ADDRESS = "10.0.2.15/24"
# QEMU's card loses a packet of which a piece lies in two pages that are not neighbours in the machine; a real card does not. So
# each packet is one piece, which Linux puts into one page.
PLAIN = "tso off gso off sg off gro off"
# Linux's driver reads which descriptor ends the oldest packet, then whether the card is done with that one (e1000_clean_tx_irq()). Held between
# the two, with nothing to be sent at the first, it takes the end of a packet of the lap before for that of one that was sent meanwhile. A packet
# of one descriptor that it so takes for one of two is never counted as sent, and what the kernel believes to be under way stays above its limit
# for good: nothing goes out until the watchdog resets the card. So it does on the bare machine when a debugger holds a CPU there; a move
# of the ring, made long, holds CPUs just there. It is told of no limit: the ring has one.
NO_BYTE_LIMIT = "echo max >/sys/class/net/eth0/queues/tx-0/byte_queue_limits/limit_min"
HOST_MAC = "52:55:0a:00:02:02"  # QEMU makes it of the address
END_TIMEOUT = 120
MOVES_TIMEOUT = 600
# What the kernel itself finds wrong in what came, and what it sent again. Drops of a full receive buffer are not among them.
SNMP_ERRORS = ("Ip.InHdrErrors", "Ip.InAddrErrors", "Ip.InUnknownProtos", "Ip.InDiscards", "Udp.NoPorts", "Udp.InCsumErrors",
               "Tcp.InErrs", "Tcp.InCsumErrors", "Tcp.OutRsts")
SENT = ("Udp.OutDatagrams", "Tcp.OutSegs", "Tcp.RetransSegs")
NIC_ERRORS = ("rx_errors", "tx_errors", "rx_crc_errors", "rx_dropped", "tx_dropped", "collisions")


def net_machine(t, **how):
    """A machine with a network card: the full kernel, since the cloud kernel has no driver for it."""
    return t.machine(kernel="full", cpus=CPUS, memory=MEMORY, extra=[*how.pop("extra", ()), *network_arguments()], **how)


def bring_up(machine):
    """Loads the driver, sets the address. Returns the machine."""
    # The kernel's own queue, fq_codel, drops packets that have waited too long: one that just queues, so that what is missing was lost.
    machine.must("echo pfifo_fast >/proc/sys/net/core/default_qdisc; insmod /lib/modules/$(uname -r)/e1000e.ko && ip link set eth0 up")
    machine.must("while [ \"$(cat /sys/class/net/eth0/carrier)\" != 1 ]; do sleep 0.2; done")
    machine.must(f"{NO_BYTE_LIMIT} && ethtool -K eth0 {PLAIN} && ip addr add {ADDRESS} dev eth0 && ping -c 1 {HOST}")
    # From now on every packet is one of IPv4.
    machine.must(f"echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; arp -s {HOST} {HOST_MAC}")
    return machine


def counters(machine):
    """{"Udp.InErrors": n, ..., "rx_errors": n, ...} of the kernel and of its card."""
    text = machine.must("cat /proc/net/snmp")
    found = {}
    for names, values in zip(*[iter(text.splitlines())] * 2):
        protocol = names.partition(":")[0]
        found |= {f"{protocol}.{name}": int(value) for name, value in zip(names.split()[1:], values.split()[1:])}
    card = machine.must("cd /sys/class/net/eth0/statistics && grep . *")
    found |= {name: int(value) for name, value in (line.split(":") for line in card.splitlines())}
    return found | {"carrier_changes": int(machine.must("cat /sys/class/net/eth0/carrier_changes"))}


class Traffic:
    """Datagrams and a stream, both ways, from now until stop()."""

    def __init__(self, machine, peer, seed):
        self._machine, self._peer = machine, peer
        self._before, self._begin = counters(machine), time.monotonic()
        self.jobs = {kind: machine.spawn(f"exec netload {kind} {HOST} {port} --seed {seed}")
                      for kind, port in (("udp", peer.udp_port), ("tcp", peer.tcp_port))}

    def check_running(self):
        """It ends by itself only when it cannot go on."""
        for kind, job in self.jobs.items():
            check(job.poll() is None, f"netload {kind} has ended:", job.output() if job.poll() is not None else "")

    def verified(self):
        """Bytes that the host has verified so far."""
        return self._peer.udp.bytes_verified, self._peer.tcp.bytes_verified

    def stop(self):
        """{"udp": what the guest's end says, "tcp": ..., "counters": how the kernel's have changed}."""
        self._machine.must("kill $(pidof netload)")
        said = {}
        for kind, job in self.jobs.items():
            status, output = job.wait(END_TIMEOUT)
            check(status in (0, 1) and output.splitlines(), f"netload {kind}: status {status}: {output}")
            said[kind] = json.loads(output.splitlines()[-1]) | {"places": output.splitlines()[:-1]}
        after = counters(self._machine)
        self.seconds = time.monotonic() - self._begin
        return said | {"counters": {name: after[name] - self._before[name] for name in after}}


def lost(said, peer):
    """Which datagrams did not come to the host, and all that both ends and the kernel counted: where to look for them."""
    udp = said["udp"]
    missing = sorted(peer.udp.missing) + list(range(peer.udp.next, udp["sent"]))
    counted = {name: value for name, value in said["counters"].items() if value}
    return f"missing {missing}, the guest's end {udp} {said['tcp']}, the host's {peer.udp.again} again, the kernel {counted}"


def check_traffic(said, peer):
    """No wrong byte at either end, nothing lost, nothing that the kernel or its card complains of."""
    check(peer.failure is None, "the host's end failed:", repr(peer.failure))
    for kind, host in (("udp", peer.udp), ("tcp", peer.tcp)):
        guest = said[kind]
        check_equal((guest["wrong"], host.wrong), (0, 0), f"{kind}: wrong in the guest, on the host ({guest['places']}, {host.places})")
        check(guest["bytes_verified"] > 0 and host.bytes_verified > 0, f"{kind}: nothing was verified: {guest} {host}")
    check_equal((peer.udp.received, said["udp"]["received"]), (said["udp"]["sent"],) * 2,
                f"datagrams that came to the host, and answers to the guest; {lost(said, peer)};")
    check_equal(peer.tcp.bytes_verified, said["tcp"]["sent"], "bytes of the guest's stream")
    check_equal(said["tcp"]["bytes_verified"], peer.tcp.sent, "bytes of the host's stream")
    errors = {name: said["counters"][name] for name in (*SNMP_ERRORS, *NIC_ERRORS, "carrier_changes") if said["counters"][name]}
    check(not errors, "counters of the kernel and of its card:", errors)
    # That TCP sends again what is not lost is the work of a busy host: so it is not held against the card, but that nothing is lost is.
    change = said["counters"]
    check_equal(change["tx_packets"], sum(change[name] for name in SENT), "packets that the card has sent, and those that it was to send")
    check_equal(change["Ip.InReceives"], change["rx_packets"], "packets that the kernel has seen, and those that the card has received")


def figures(said, peer, seconds):
    """One line for people."""
    udp, tcp = said["udp"], said["tcp"]
    udp_mib, tcp_mib = ((guest["bytes_verified"] + host.bytes_verified) >> 20 for guest, host in ((udp, peer.udp), (tcp, peer.tcp)))
    return (f"udp: {udp['sent']} datagrams out, {udp['received']} back, {udp_mib} MiB verified, "
            f"tcp: {tcp_mib} MiB verified, {said['counters']['Tcp.RetransSegs']} segments again; "
            f"none wrong in {seconds:.0f} s, longest wait {max(udp['longest_wait_ms'], tcp['longest_wait_ms'])} ms")


@contextlib.contextmanager
def under_traffic(machine, seed=1):
    """Fails unless all traffic of the block was right, and all of it arrived. Prints figures."""
    with Peer(seed) as peer:
        traffic = Traffic(machine, peer, seed)
        yield traffic
        traffic.check_running()
        said = traffic.stop()
    check_traffic(said, peer)
    print("figure:", figures(said, peer, traffic.seconds))


@test("net-under-switch", cost=60)
def net_under_switch(t):
    """Identity displaces nothing, so no device needs to be told: the switch itself loses no packet and spoils none."""
    with net_machine(t) as machine:
        bring_up(machine.wait_ready())
        with quiet_log(machine), under_traffic(machine) as traffic:
            machine.must("sleep 1")
            for number in range(t.pick(30, 1000)):
                seen = traffic.verified()
                machine.must("scrimctl virtualize")
                check_equal(machine.status()["state"], "virtualized", f"state, round {number}")
                machine.must("sleep 0.2; scrimctl devirtualize")
                check_equal(machine.status()["state"], "native", f"state, round {number}")
                check(all(now > then for now, then in zip(traffic.verified(), seen)), f"the traffic stood still in round {number}")


@test("net-finds-wrong-bytes", cost=25)
def net_finds_wrong_bytes(t):
    """The test can fail: one wrong byte each way, and one in the guest's stream, are each found, counted, and told apart from a drop."""
    with net_machine(t, scrim=False) as machine:
        bring_up(machine.wait_ready())
        with Peer(seed=3, spoil=200) as peer:
            udp = machine.spawn(f"exec netload udp {HOST} {peer.udp_port} --seed 3 --spoil 100")
            tcp = machine.spawn(f"exec netload tcp {HOST} {peer.tcp_port} --seed 3 --spoil 100000")
            machine.must("sleep 3; kill $(pidof netload)")
            (udp_status, udp_output), (tcp_status, tcp_output) = udp.wait(END_TIMEOUT), tcp.wait(END_TIMEOUT)
        guest = json.loads(udp_output.splitlines()[-1])
        check_equal((udp_status, guest["wrong"]), (1, 1), f"netload udp, status and wrong datagrams ({udp_output})")
        check(re.match(r"netload: WRONG: datagram 200, byte ", udp_output), f"netload udp says: {udp_output}")
        check_equal((peer.udp.wrong, peer.udp.places), (1, ["datagram 100, after 100"]), "the host's wrong datagrams")
        check_equal(peer.udp.missing, {100}, "datagrams that the host misses: the wrong one")
        check_equal((tcp_status, peer.tcp.wrong), (0, 1), f"netload tcp's status, and wrong places in its stream ({tcp_output})")
