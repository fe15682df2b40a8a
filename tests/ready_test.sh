#!/bin/sh
# poll and select in all their shapes, on descriptors that block and that do not.
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo greet reply; }

testNonblocking() {
    for how in poll ppoll select pselect; do
        same echo echo_wait "$how" once 100000 4096 3000
        same echo echo_wait "$how" eagain 1000000 100000 16384
        same echo echo_wait "$how" short 300000 16385 5000
    done
    same echo echo_wait poll eagain 300000 20000 1 4608
    clean_wires
}

testTinySocketBuffers() {
    same echo echo_wait poll eagain 300000 100000 4096 2048
    same echo echo_wait select once 300000 16384 16384 2048
    clean_wires
}

testSmallMessages() {
    for size in 1 5 1000 16384 16385; do same echo echo_wait poll short "$size" "$size" 65536; done
    clean_wires
}

testBlocking() {
    for how in poll select; do same echo ready_blocking "$how"; done
    clean_wires
}

testEndBehindData() {
    for how in poll epoll shut; do same reply hung_up $how; done
    clean_wires
}

testGreeting() { same greet greeted poll && clean_wires; }

# The error queue makes poll say POLLERR for as long as the program leaves them there.
testTimeStamps() {
    for when in connected connecting; do same echo stamped $when; done
    same echo stamped connecting nonblocking
    clean_wires
}

. "$SHUNIT2"
