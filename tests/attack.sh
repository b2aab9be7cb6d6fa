#!/usr/bin/env bash
# tests/attack.sh [SECONDS]: other people's attack tools against images on their TUN devices.
#
# Two labs, IPv4 and IPv6, each in a network namespace of its own; every tool runs inside it, or in
# one that is made for it beside. Honest clients go on all the time. In the end every image is the
# process that it was, its memory has stayed within a bound, and every honest request is answered.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
bound_kib=$((192 * 1024))

missing=()
for entry in hping3:hping3 nmap:nmap atk6-implementation6:thc-ipv6 curl:curl ip:iproute2 nsenter:util-linux; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
done
/usr/bin/python3 -c 'import scapy' 2>/dev/null || missing+=(python3-scapy)
if [ ${#missing[@]} -gt 0 ]; then
  echo "missing: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 2
fi
[ "$(id -u)" = 0 ] || { echo "run it as root: raw sockets and namespaces are needed" >&2; exit 2; }
export PATH="$PATH:/usr/sbin:/sbin"

cargo build --release --quiet --package cluster-lab
lab=${CARGO_TARGET_DIR:-target}/release/cluster-lab
work=$(mktemp -d)
failed=0

fail() { echo "FAILED: $*"; failed=1; }

# Which images run, as which processes.
images() { "$lab" status --name "$1" --json | /usr/bin/python3 -c '
import json, sys
for image in json.load(sys.stdin)["images"]:
    print(image["name"], image["pid"], image["state"])'; }

# Honest requests until the file is gone: one letter for each, "y" or "n".
honest() {
  while [ -e "$work/go" ]; do
    if "$lab" exec --name "$1" -- curl -sS -o /dev/null --max-time 10 "$2" 2>>"$work/honest.err"; then
      printf y
    else
      printf n
      echo "  during $(cat "$work/current")" >>"$work/honest.err"
    fi
    sleep 0.2
  done >"$work/honest.$1"
}

# Largest memory of any image, in KiB.
memory() {
  while [ -e "$work/go" ]; do
    while read -r _ pid _; do awk '/VmRSS/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true; done <"$work/images.$1"
    sleep 1
  done >"$work/memory.$1"
}

# Packets that the kernel has sent by the device that is watched.
sent() { "$lab" exec --name "$lab_name" -- ip -json -stats link show dev "$watched" | /usr/bin/python3 -c '
import json, sys
[link] = json.load(sys.stdin)
print(link["stats64"][sys.argv[1]]["packets"])' "$direction"; }

# One tool, for a share of the time; what it says goes to a file. It has to reach the image.
tool() {
  local name=$1 share=$2 before
  shift 2
  before=$(sent)
  echo "$name" >"$work/current"
  timeout --kill-after=5 "$share" "$@" >"$work/$name.out" 2>&1 || true
  count=$(($(sent) - before))
  printf '  %-16s %9d packets\n' "$name" "$count"
  # Some of them are the honest requests'.
  [ "$count" -gt "${least:-300}" ] || fail "$name did nothing: $(tail -3 "$work/$name.out")"
}

attack() {
  local version=$1 profile=$2 victim=$3 link=$4 client=$5 url=$6
  local name="attack-$$-$version" inside share
  lab_name=$name
  "$lab" up --name "$name" --detach "$profile" >/dev/null
  trap '"$lab" down --name "'"$name"'" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
  inside=("$lab" exec --name "$name" --)
  # Nothing below may ever run anywhere else.
  if [ "$("${inside[@]}" readlink /proc/self/ns/net)" = "$(readlink /proc/self/ns/net)" ]; then
    echo "the lab has no namespace of its own: nothing is done" >&2
    exit 1
  fi
  local device
  device=$("${inside[@]}" ip -"$version" -o route get "$victim" | sed 's/.* dev \([^ ]*\).*/\1/')
  watched=$device direction=tx
  images "$name" >"$work/images.$name"
  touch "$work/go"
  honest "$name" "$url" & local honest=$!
  memory "$name" & local memory=$!
  echo "IPv$version: $profile, through $device, $seconds s"

  if [ "$version" = 4 ]; then
    share=$((seconds / 10 > 0 ? seconds / 10 : 1))
    tool syn-flood "$share" "${inside[@]}" hping3 --flood --rand-source -S -p 60 "$victim"
    tool ack-flood "$share" "${inside[@]}" hping3 --flood --rand-source -A -p 60 "$victim"
    tool odd-flags "$share" "${inside[@]}" hping3 --flood --rand-source -F -S -R -P -A -U -p 60 "$victim"
    tool udp-flood "$share" "${inside[@]}" hping3 --flood --rand-source --udp -p 60 -d 1000 "$victim"
    tool icmp-flood "$share" "${inside[@]}" hping3 --flood --rand-source --icmp -d 1400 "$link"
    tool fragment-flood "$share" "${inside[@]}" hping3 --flood --rand-source -S -f -d 200 -p 60 "$victim"
    tool land "$share" "${inside[@]}" hping3 --faster -S -a "$victim" -s 60 -k -p 60 "$victim"
    least=150
    tool nmap-scan "$((2 * share))" "${inside[@]}" nmap -n -Pn -sS -O -T5 -p 1-100 "$victim"
    tool nmap-odd "$share" "${inside[@]}" nmap -n -Pn -sX -f -T5 -p 1-100 "$victim"
  else
    share=$((seconds / 8 > 0 ? seconds / 8 : 1))
    # These tools write Ethernet frames: a namespace of their own, behind a veth and the lab's kernel.
    "${inside[@]}" unshare --net sleep $((seconds * 3 + 120)) & local holder=$!
    local pid=
    for _ in $(seq 50); do
      pid=$(pgrep -P "$holder" -x sleep || true)
      [ -z "$pid" ] && [ "$(cat "/proc/$holder/comm")" = sleep ] && pid=$holder
      [ -n "$pid" ] && break
      sleep 0.1
    done
    [ -n "$pid" ] || { fail "no namespace for the tools"; return; }
    "${inside[@]}" sh -ec "
      ip link add attack0 type veth peer name attack1 netns $pid
      for setting in disable_ipv6=0 accept_dad=0; do echo \${setting#*=} >/proc/sys/net/ipv6/conf/attack0/\${setting%=*}; done
      ip -6 address add 2001:db8:ffff::1/64 dev attack0 nodad
      ip link set attack0 mtu 9000 up
      # Some send more than an Ethernet frame holds.
      ip link set $device mtu 9000
      echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"
    local beside=(nsenter --target "$pid" --net --)
    "${beside[@]}" sh -ec "
      for setting in disable_ipv6=0 accept_dad=0; do echo \${setting#*=} >/proc/sys/net/ipv6/conf/attack1/\${setting%=*}; done
      ip -6 address add 2001:db8:ffff::2/64 dev attack1 nodad
      ip link set attack1 mtu 9000 up
      ip -6 route add default via 2001:db8:ffff::1"
    sleep 1
    "${beside[@]}" ping -6 -n -c 3 -W 5 "$victim" >/dev/null || fail "the tools' namespace does not reach $victim"
    "${inside[@]}" /usr/bin/python3 "$PWD/tests/attack.py" shovel attack0 "$device" "$victim" & local shovel=$!
    # What these tools send, the honest requests not among it.
    watched=attack0 direction=rx least=2
    tool implementation6 "$((2 * share))" "${beside[@]}" atk6-implementation6 -p attack1 "$victim"
    tool fragmentation6 "$share" "${beside[@]}" atk6-fragmentation6 -p attack1 "$victim"
    # Of this tool's tests, version 3.8 sends only the second one's packets.
    tool denial6 "$share" "${beside[@]}" atk6-denial6 attack1 "$victim" 2
    tool fuzz_ip6 "$share" "${beside[@]}" atk6-fuzz_ip6 -a -x -1 -2 -3 -4 -5 -6 -7 -8 -9 -I -F -S -D -H -R -J attack1 "$victim"
    tool thcsyn6 "$share" "${beside[@]}" atk6-thcsyn6 -p 60 attack1 "$victim" 60
    tool randicmp6 "$share" "${beside[@]}" atk6-randicmp6 attack1 "$victim"
    watched=$device direction=tx least=150
    tool nmap-scan6 "$share" "${inside[@]}" nmap -6 -n -Pn -sS -O -T5 -p 1-100 "$victim"
    kill "$shovel" "$pid" 2>/dev/null || true
    wait "$shovel" "$holder" 2>/dev/null || true
  fi
  least=300
  tool scapy "$((seconds + 10))" "${inside[@]}" /usr/bin/python3 "$PWD/tests/attack.py" "$device" "$((seconds / 3 + 1))" "$victim" "$client" 60

  echo "the end" >"$work/current"
  rm "$work/go"
  wait "$honest" "$memory"
  local good bad most
  good=$(tr -cd y <"$work/honest.$name" | wc -c)
  bad=$(tr -cd n <"$work/honest.$name" | wc -c)
  most=$(sort -n "$work/memory.$name" | tail -1)
  grep -q '^scapy: ' "$work/scapy.out" || fail "scapy: $(tail -3 "$work/scapy.out")"
  echo "  honest requests: $good answered, $bad not; largest image: $((most / 1024)) MiB; $(grep "^scapy: " "$work/scapy.out")"
  [ "$good" -gt 0 ] && [ $((bad * 100)) -le $((good + bad)) ] || fail "more than 1 % of the honest requests: $(tail -20 "$work/honest.err")"
  [ "$most" -le "$bound_kib" ] || fail "an image took $most KiB, more than $bound_kib"
  images "$name" | diff "$work/images.$name" - || fail "an image is not the process that it was"
  for _ in 1 2 3 4 5; do
    "${inside[@]}" curl -sS -o /dev/null --max-time 10 "$url" || fail "no service after the attack"
  done
  "$lab" netstat --name "$name" MVS1 STATS | grep -E "InMartians|ReasmFails|InHdrErrors|OutRateLimited|Statistics" || true
  "$lab" down --name "$name" >/dev/null
}

attack 4 figure4 203.0.113.1 198.51.100.11 198.51.100.1 http://203.0.113.1:60/
attack 6 figure4-v6 2001:db8:a::1 2001:db8:1::11 2001:db8:1::1 'http://[2001:db8:a::1]:60/'
[ "$failed" = 0 ] && echo "service went on"
exit "$failed"
