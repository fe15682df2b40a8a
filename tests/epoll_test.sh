#!/bin/sh
# epoll: level- and edge-triggered, one-shot, registered before the connection is there, on descriptors that block and that do not.
# shellcheck disable=SC1090,SC1091
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/ends.sh"

oneTimeSetUp() { start_peers echo; }

testLevel() {
    for how in epoll epoll-pwait epoll-pwait2; do
        same echo echo_wait "$how" once 100000 4096 3000
        same echo echo_wait "$how" eagain 1000000 100000 16384
    done
    clean_wires
}

testEdge() {
    for size in 1 16384 16385 100000 1000000; do
        same echo echo_wait epoll-et eagain "$size" 100000 16384
        same echo echo_wait epoll-et short "$size" 100000 5000
    done
    clean_wires
}

testOneShot() {
    same echo echo_wait epoll-oneshot once 100000 4096 3000
    same echo echo_wait epoll-oneshot short 300000 20000 16384
    same echo echo_wait epoll-oneshot eagain 300000 20000 1000
    clean_wires
}

testTinySocketBuffers() {
    for how in epoll epoll-et epoll-oneshot; do same echo echo_wait "$how" eagain 200000 50000 4096 2048; done
    same echo echo_wait epoll-et short 200000 50000 700 2048
    clean_wires
}

testBlocking() {
    for how in epoll epoll-et; do same echo ready_blocking "$how"; done
    clean_wires
}

testConnect() {
    for how in epoll early; do same echo connect_nonblocking "$how"; done
    clean_wires
}

testAddedWhileAnotherThreadWaits() {
    same echo added
    clean_wires
}

testASetOfTwoProcesses() {
    for mode in blocking nonblocking; do same echo epoll_shared $mode; done
    clean_wires
}

. "$SHUNIT2"
