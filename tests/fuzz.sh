#!/usr/bin/env bash
# A long run of the fuzz targets: tests/fuzz.sh [EXECUTIONS [TARGET...]]
# Each target gets EXECUTIONS inputs (1,000,000 unless said), after its seed corpus; the rate is
# printed. Assertions and overflow checks are on. A failure prints the input and, for random ones,
# the seed to give to BOLERO_RANDOM_SEED. Make it a test, then fix it.
set -euo pipefail
cd "$(dirname "$0")/.."

executions=${1:-1000000}
shift $(($# > 0 ? 1 : 0))
# target:package:where
known="fuzz_packet:stack:--test=fuzz fuzz_stack:stack:--test=fuzz fuzz_statements:cluster-lab:--test=fuzz fuzz_profile:cluster-lab:--test=fuzz fuzz_tcpip:cluster-lab:--test=fuzz fuzz_open:cluster-lab:--lib fuzz_insider:cluster-lab:--lib"

export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/fuzz"
export BOLERO_RANDOM_ITERATIONS=$executions RUST_BACKTRACE=1

failed=0
for entry in $known; do
  IFS=: read -r target package where <<<"$entry"
  if [ $# -gt 0 ] && [[ " $* " != *" $target "* ]]; then continue; fi
  cargo test --release --quiet --package "$package" "$where" --no-run
  start=$(date +%s.%N)
  if output=$(cargo test --release --quiet --package "$package" "$where" -- "$target" --include-ignored 2>&1); then
    end=$(date +%s.%N)
    awk -v t="$target" -v n="$executions" -v a="$start" -v b="$end" \
      'BEGIN { printf "%-16s %12d executions in %8.1f s, %9.0f/s: ok\n", t, n, b - a, n / (b - a) }'
  else
    printf '%-16s FAILED\n%s\n' "$target" "$output"
    failed=1
  fi
done
exit $failed
