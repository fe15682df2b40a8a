# Sourced behind lib.sh by the tests of the wrapped calls: native peers on both sides of a recorder, and the comparison that they all make.
# shellcheck shell=sh disable=SC2034,SC2154

# start_peers BEHAVIOUR...: for each a server in plain TCP and, behind a recorder each, in TLS 1.2 and 1.3 (tests/peers/echo_tls.py).
start_peers() {
    _behaviours=$* _specs='' _listen=''
    for _b in $_behaviours; do
        for _k in plain tls12 tls13; do
            _p=$(free_port)
            eval "_far_${_k}_$_b=$_p"
            _specs="$_specs $_k:$_b:$_p" _listen="$_listen $_p"
        done
    done
    # shellcheck disable=SC2086 # a list
    start peers "$PYTHON" "$TOP/tests/peers/echo_tls.py" "$certs" $_specs
    for _p in $_listen; do wait_listen "$_p"; done
    for _b in $_behaviours; do
        for _k in tls12 tls13; do
            eval "_p=\$_far_${_k}_$_b"
            eval "_near_${_k}_$_b=$(free_port)"
            case $_b in mute) _o='--buffer 65536' ;; *) _o= ;; esac   # what nobody reads is to fill the sender's buffers, not the recorder's
            eval "start_wire $_b-$_k \$_near_${_k}_$_b $_p $wire_options $_o"
        done
    done
    client_rule "$policy_option" | write_policy
}
wire_options='' policy_option=''

# port KIND BEHAVIOUR: where a client finds it.
port() {
    if [ "$1" = plain ]; then eval "echo \$_far_plain_$2"; else eval "echo \$_near_${1}_$2"; fi
}

# clean_wires: everything that the recorders of start_peers saw was TLS.
clean_wires() {
    for _b in $_behaviours; do
        for _k in tls12 tls13; do
            if [ -n "$(ls "$tmp/$_b-$_k.wire")" ]; then assert_wire "$_b-$_k"; fi
        done
    done
}

# same BEHAVIOUR PROBE ARGUMENTS...: the probe prints over TLS what it prints over TCP; one case.
same() {
    _behaviour=$1 _probe=$2
    shift 2
    begin_case "$_probe $*"
    run timeout -k 1 20 "$PROBES/$_probe" "$(port plain "$_behaviour")" "$@"
    _plain_status=$status _plain=$out
    for _k in tls12 tls13; do
        # shellcheck disable=SC2086 # a command with arguments
        run timeout -k 1 20 $wrapped "$PROBES/$_probe" "$(port "$_k" "$_behaviour")" "$@"
        assertEquals "$_probe $* over $_k" "$_plain" "$out"
        assertEquals "$_probe $* over $_k: status" "$_plain_status" "$status"
        assertEquals "$_probe $* over $_k: stderr" "" "$err"
    done
    end_case
}
