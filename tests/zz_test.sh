. "$(dirname "$0")/lib.sh"
testOne() { p=$(free_port); q=$(free_port); r=$(free_port)
 start echo socat TCP-LISTEN:$p,fork,reuseaddr EXEC:cat; wait_listen $p
 start_bridge srv listen $q $p --cert $certs/server.pem --key $certs/server.key --version 1.2
 start_wire w $r $q
 s=$(free_port)
 start_bridge cl connect $s $r --ca $certs/ca.pem
 assertEquals hello "$(echo hello | timeout 5 nc -N localhost $s)"
 head -c 3000000 /dev/urandom >$tmp/in
 timeout 20 nc -N localhost $s <$tmp/in >$tmp/outx
 cmp $tmp/in $tmp/outx; assertEquals 0 $?
 assert_wire w
 start_wire w2 $(p2=$(free_port); echo $p2 >$tmp/p2; echo $p2) $p
 echo hello | timeout 5 nc -N localhost $(cat $tmp/p2) 
 "$PYTHON" $TOP/tests/peers/wire.py check $tmp/w2.wire; assertEquals 1 $?
 wire_text w2 hell; assertEquals 0 $?
}
testSkip() { skip "because"; }
testCases() { for i in 1 2 3; do begin_case "c$i"; assertEquals 1 1; end_case; done; }
. "$SHUNIT2"
