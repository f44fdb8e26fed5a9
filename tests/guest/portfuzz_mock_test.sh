#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Tests the fuzzer against its mock: it must accept a Scrim that keeps its promises, in every state, and reject each of
# those that break one. Usage: portfuzz_mock_test.sh PORTFUZZ_MOCK
set -u
mock=$1
passed=0
failed=0

expect() { # status, what, and the environment
	wanted=$1
	shift
	env "$@" "$mock" --count 200000 --seed 3 >/dev/null 2>&1
	if [ $? -eq "$wanted" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "portfuzz_mock: $*: not status $wanted"
	fi
}

for state in 0 1 2 3 4 5; do
	expect 0 SCRIM_MOCK_STATE=$state
done
for watch in 1 2; do
	expect 0 SCRIM_MOCK_STATE=3 SCRIM_MOCK_WATCH=$watch
done
for bug in 1 2 3 4 5 6 7 8 10 11 12 13 14 15; do
	expect 1 SCRIM_MOCK_BUG=$bug
done
expect 1 SCRIM_MOCK_BUG=9 SCRIM_MOCK_STATE=3
expect 1 SCRIM_MOCK_BUG=16 SCRIM_MOCK_STATE=3
for bug in 17 18 19 20; do
	expect 1 SCRIM_MOCK_BUG=$bug SCRIM_MOCK_STATE=3 SCRIM_MOCK_WATCH=1
done
expect 1 SCRIM_MOCK_BUG=21
expect 1 SCRIM_MOCK_BUG=22 SCRIM_MOCK_STATE=3 SCRIM_MOCK_WATCH=2
echo "portfuzz_mock: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
