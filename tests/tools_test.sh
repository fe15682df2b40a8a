#!/bin/sh
# The launcher: what it refuses, with which status and words; what it leaves alone when it does not.
# shellcheck disable=SC2016,SC2086 # $wrapped is a command with its arguments; the scripts that are started expand their own variables
. "$(dirname "$0")/lib.sh"

oneTimeSetUp() {
    write_policy <<'END'
[client any]
match = *:1
END
    mkdir -p "$tmp/bin"
    echo 'int main(void) { return 0; }' >"$tmp/null.c"
}

# refused STATUS PATTERN COMMAND...: under the launcher; nothing on stdout, one line on stderr.
refused() {
    _status=$1 _pattern=$2
    shift 2
    run wrapped "$@"
    assertEquals "status of $*: $err" "$_status" "$status"
    assertNull "stdout of $*" "$out"
    assertEquals "one line: $err" 1 "$(printf '%s\n' "$err" | wc -l)"
    assertTrue "$err, expected $_pattern" "printf '%s' '$(printf '%s' "$err" | tr -d "'")' | grep -q -- '$_pattern'"
}

script() { # NAME <text
    cat >"$tmp/bin/$1"
    chmod 755 "$tmp/bin/$1"
}

# --- usage ---

test_usage_when_wrong_then_125_and_help() {
    for arguments in '' '-x true' '--bogus true' '-p' '--policy' '-v' '--policy= true'; do
        begin_case "wrapsock $arguments"
        # shellcheck disable=SC2086 # words
        run launch $arguments
        assertEquals "$err" 125 "$status"
        assertContains "$err" "usage: wrapsock"
        assertContains "$err" "wrapsock: "
        assertNull "$out"
        end_case
    done
}

test_help_and_version_when_asked_then_on_stdout() {
    run launch --help
    assertEquals "0:" "$status:$err"
    assertContains "$out" "usage: wrapsock"
    run launch --version
    assertEquals "0:" "$status:$err"
    assertContains "$out" "wrapsock 0."
}

# --- the policy ---

test_policy_when_wrong_then_125_with_its_place() {
    begin_case "missing"
    run launch -p "$tmp/nosuch.conf" true
    assertEquals "$err" 125 "$status"
    assertContains "$err" "wrapsock: $tmp/nosuch.conf: "
    begin_case "a folder"
    run launch -p "$tmp" true
    assertEquals "$err" 125 "$status"
    begin_case "malformed"
    printf '[client a]\nmatch = *:1\ncert_req = none\n' | write_policy "$tmp/bad.conf"
    run launch -p "$tmp/bad.conf" true
    assertEquals "$err" 125 "$status"
    assertContains "$err" "wrapsock: $tmp/bad.conf:3:1: "
    assertContains "$err" cert_reqs
    begin_case "another tool's key"
    printf '[server a]\nmatch = *:1\nssl_verify_client = on\n' | write_policy "$tmp/bad.conf"
    run launch -p "$tmp/bad.conf" true
    assertEquals "$err" 125 "$status"
    assertContains "$err" cert_reqs
    begin_case "writable by others"
    cp "$POLICY" "$tmp/open.conf"
    chmod 666 "$tmp/open.conf"
    run launch -p "$tmp/open.conf" true
    assertEquals "$err" 125 "$status"
    begin_case "none named, none found"
    XDG_CONFIG_HOME=$tmp/nosuch run launch true
    if [ ! -e /etc/wrapsock/policy.conf ]; then
        assertEquals "$err" 125 "$status"
        assertContains "$err" "no policy"
    fi
    end_case
}

test_policy_when_unreadable_then_125() {
    unprivileged_reads "$WRAPSOCK" "$PRELOAD" || { skip "no other user can read $WRAPSOCK"; return; }
    cp "$POLICY" "$tmp/closed.conf"
    chmod 644 "$tmp/closed.conf"
    run $unprivileged $launcher -p "$tmp/closed.conf" true
    assertEquals "readable: $err" 0 "$status"
    chmod 000 "$tmp/closed.conf"
    run $unprivileged $launcher -p "$tmp/closed.conf" true
    assertEquals "$err" 125 "$status"
    assertContains "$err" "closed.conf"
}

test_policy_when_searched_then_in_order() {
    mkdir -p "$tmp/config/wrapsock"
    cp -p "$POLICY" "$tmp/config/wrapsock/policy.conf"
    begin_case "XDG_CONFIG_HOME"
    XDG_CONFIG_HOME=$tmp/config run launch sh -c 'echo "$WRAPSOCK_POLICY"'
    assertEquals "$err" "$tmp/config/wrapsock/policy.conf" "$out"
    begin_case "the environment outranks it"
    XDG_CONFIG_HOME=$tmp/config WRAPSOCK_POLICY=$POLICY run launch sh -c 'echo "$WRAPSOCK_POLICY"'
    assertEquals "$POLICY" "$out"
    begin_case "the option outranks both"
    XDG_CONFIG_HOME=$tmp/config WRAPSOCK_POLICY=$tmp/nosuch run launch -p "$POLICY" sh -c 'echo "$WRAPSOCK_POLICY"'
    assertEquals "$POLICY" "$out"
    begin_case "never the current folder"
    if [ ! -e /etc/wrapsock/policy.conf ]; then
        mkdir -p "$tmp/here/wrapsock"
        cp -p "$POLICY" "$tmp/here/policy.conf"
        cp -p "$POLICY" "$tmp/here/wrapsock/policy.conf"
        # shellcheck disable=SC2164
        out=$(cd "$tmp/here" && launch true 2>&1)
        assertEquals "$out" 125 $?
    fi
    end_case
}

test_policy_when_relative_then_handed_on_absolute() {
    for option in "-p policy.conf" "-ppolicy.conf" "--policy policy.conf" "--policy=policy.conf"; do
        begin_case "$option"
        # shellcheck disable=SC2086 # words
        out=$(cd "$tmp" && launch $option sh -c 'echo "$WRAPSOCK_POLICY"')
        assertEquals "$POLICY" "$out"
        end_case
    done
    mkdir -p "$tmp/a folder"
    cp -p "$POLICY" "$tmp/a folder/p.conf"
    out=$(cd "$tmp" && launch -p 'a folder/p.conf' sh -c 'echo "$WRAPSOCK_POLICY"')
    assertEquals "$tmp/a folder/p.conf" "$out"
}

test_files_of_rules_when_missing_then_only_fitting_rules_count() {
    write_policy "$tmp/files.conf" <<'END'
[server web]
match = *:1
program = sh
certfile = /nosuch/server.pem
END
    run launch -p "$tmp/files.conf" sh -c 'echo started'
    assertEquals "$err" 125 "$status"
    assertContains "$err" "wrapsock: $tmp/files.conf:4:12: certfile /nosuch/server.pem: No such file"
    run launch -p "$tmp/files.conf" env echo started
    assertEquals "$err" "started" "$out"
}

# --- our own objects ---

# install_into FOLDER: as `make install` would.
install_into() {
    mkdir -p "$1/bin" "$1/lib"
    cp "$WRAPSOCK" "$1/bin/wrapsock"
    cp "$WRAPSOCKCTL" "$1/bin/wrapsockctl"
    cp "$PRELOAD" "$1/lib/libwrapsock-preload.so"
    cp -L "$LIBRARY" "$1/lib/libwrapsock.so"
}

try_installed() { # FOLDER
    _launcher=$WRAPSOCK WRAPSOCK=$1/bin/wrapsock
    run launch -p "$POLICY" sh -c 'echo started'
    WRAPSOCK=$_launcher
}

test_objects_when_missing_or_other_then_125() {
    echo 'int x;' >"$tmp/other.c"
    gcc -shared -fPIC -o "$tmp/other.so" "$tmp/other.c"
    prefix=$tmp/prefix

    begin_case "all there"
    install_into "$prefix"
    try_installed "$prefix"
    assertEquals "$err" "0:started" "$status:$out"
    for object in libwrapsock-preload.so libwrapsock.so; do
        begin_case "$object missing"
        install_into "$prefix"
        rm "$prefix/lib/$object"
        try_installed "$prefix"
        assertEquals "$err" "125:" "$status:$out"
        assertContains "$err" "$object: No such file"
        begin_case "$object of another version"
        install_into "$prefix"
        cp "$tmp/other.so" "$prefix/lib/$object"
        try_installed "$prefix"
        assertEquals "$err" "125:" "$status:$out"
        assertContains "$err" "$object is of another version"
        begin_case "$object is garbage"
        head -c 4000 /dev/urandom >"$prefix/lib/$object"
        try_installed "$prefix"
        assertEquals "$err" "125:" "$status:$out"
        begin_case "$object is empty"
        : >"$prefix/lib/$object"
        try_installed "$prefix"
        assertEquals "$err" "125:" "$status:$out"
    done
    begin_case "wrapsockctl missing"
    install_into "$prefix"
    rm "$prefix/bin/wrapsockctl"
    try_installed "$prefix"
    assertEquals "$err" "125:" "$status:$out"
    end_case
}

test_own_path_when_the_loader_would_split_it_then_125() {
    for name in 'with blank' with:colon 'with$ORIGIN'; do
        begin_case "$name"
        install_into "$tmp/$name"
        try_installed "$tmp/$name"
        assertEquals "$err" "125:" "$status:$out"
        assertContains "$err" "cannot preload"
        end_case
    done
}

test_launcher_when_called_another_way_then_finds_its_objects() {
    install_into "$tmp/place"
    mkdir -p "$tmp/links"
    ln -s "$tmp/place/bin/wrapsock" "$tmp/links/wrapsock"
    ln -s "$tmp/place" "$tmp/links/place"
    for launcher in "$tmp/links/wrapsock" "$tmp/links/place/bin/wrapsock"; do
        begin_case "$launcher"
        _launcher=$WRAPSOCK WRAPSOCK=$launcher
        run launch -p "$POLICY" sh -c 'echo "$LD_PRELOAD"'
        WRAPSOCK=$_launcher
        assertContains "$err$out" "$tmp/place/lib/libwrapsock-preload.so"
        end_case
    done
    begin_case "by PATH, from elsewhere"
    out=$(cd / && PATH=$tmp/links:$PATH LD_PRELOAD=$sanitizer wrapsock -p "$POLICY" sh -c 'echo "$LD_PRELOAD"' 2>&1)
    assertContains "$out" "$tmp/place/lib/libwrapsock-preload.so"
    begin_case "relative"
    out=$(cd "$tmp/place/bin" && LD_PRELOAD=$sanitizer ./wrapsock -p "$POLICY" sh -c 'echo "$LD_PRELOAD"' 2>&1)
    assertContains "$out" "$tmp/place/lib/libwrapsock-preload.so"
    begin_case "a tree that may only be read"
    chmod -R a-w "$tmp/place"
    try_installed "$tmp/place"
    assertEquals "$err" "0:started" "$status:$out"
    chmod -R u+w "$tmp/place"
    end_case
}

# --- commands ---

test_command_when_not_found_then_127() {
    for command in no-such-command-1 ./no-such-command /nosuch/command ''; do
        begin_case "'$command'"
        run wrapped "$command"
        assertEquals "$err" "127:wrapsock: $command: not found" "$status:$err"
    done
    begin_case "a folder of PATH that may not be entered"
    mkdir -p "$tmp/closed"
    chmod 000 "$tmp/closed"
    run env PATH="$tmp/closed:$PATH" LD_PRELOAD="$sanitizer" "$WRAPSOCK" -p "$POLICY" no-such-command
    assertEquals "127:wrapsock: no-such-command: not found" "$status:$err"
    chmod 755 "$tmp/closed"
    begin_case "a file in PATH that may not be executed"
    : >"$tmp/closed/unexecutable"
    run env PATH="$tmp/closed:$PATH" LD_PRELOAD="$sanitizer" "$WRAPSOCK" -p "$POLICY" unexecutable
    assertEquals "126:wrapsock: unexecutable: Permission denied" "$status:$err"
    end_case
}

test_command_when_not_executable_then_126() {
    : >"$tmp/plain"
    : >"$tmp/bin/empty"
    printf '\0\1\2\3' >"$tmp/bin/garbage"
    printf '\177ELF' >"$tmp/bin/short"
    chmod 755 "$tmp/bin"/*
    begin_case "no permission" && refused 126 "Permission denied" "$tmp/plain"
    begin_case "a folder" && refused 126 "Is a directory" "$tmp"
    begin_case "empty" && refused 126 "Exec format error" "$tmp/bin/empty"
    begin_case "garbage" && refused 126 "Exec format error" "$tmp/bin/garbage"
    begin_case "cut short" && refused 126 "ELF class" "$tmp/bin/short"
    end_case
}

# build_programs: one of each kind that cannot be protected, in $tmp/bin.
build_programs() {
    [ ! -e "$tmp/bin/static" ] || return 0
    gcc -static -o "$tmp/bin/static" "$tmp/null.c"
    gcc -static-pie -o "$tmp/bin/static-pie" "$tmp/null.c"
    gcc -o "$tmp/bin/setuid" "$tmp/null.c"
    cp "$tmp/bin/setuid" "$tmp/bin/setgid"
    cp "$tmp/bin/setuid" "$tmp/bin/capable"
    chmod 4755 "$tmp/bin/setuid"
    chmod 2755 "$tmp/bin/setgid"
    cat >"$tmp/go.c" <<'END'
__asm__(".section .note.go.buildid, \"a\", @note\n.long 4, 4, 4\n.ascii \"Go\\0\\0\"\n.ascii \"abcd\"\n.previous");
int main(void) { return 0; }
END
    gcc -o "$tmp/bin/go" "$tmp/go.c"
    cat >"$tmp/go2.c" <<'END'
__asm__(".section .go.buildinfo, \"a\"\n.ascii \"Go\"\n.previous");
int main(void) { return 0; }
END
    gcc -static -o "$tmp/bin/go-static" "$tmp/go2.c"
    # Without section headers only the note is left.
    cp "$tmp/bin/go" "$tmp/bin/go-stripped"
    printf '\0\0\0\0\0\0\0\0' | dd of="$tmp/bin/go-stripped" bs=1 seek=40 conv=notrunc 2>/dev/null
    printf '\0\0' | dd of="$tmp/bin/go-stripped" bs=1 seek=60 conv=notrunc 2>/dev/null
    gcc -o "$tmp/bin/class" "$tmp/null.c"
    cp "$tmp/bin/class" "$tmp/bin/machine"
    printf '\1' | dd of="$tmp/bin/class" bs=1 seek=4 conv=notrunc 2>/dev/null
    printf '\10' | dd of="$tmp/bin/machine" bs=1 seek=18 conv=notrunc 2>/dev/null
    gcc -o "$tmp/bin/musl" -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1 "$tmp/null.c"
}

test_program_when_it_cannot_be_protected_then_126_and_the_word() {
    build_programs
    while read -r name word; do
        begin_case "$name"
        refused 126 "^wrapsock: $tmp/bin/$name: $word" "$tmp/bin/$name"
        end_case
    done <<'END'
static static
static-pie static
setuid setuid
setgid setgid
go Go
go-static Go
go-stripped Go
class ELF class
machine ELF class
musl it uses another C library
END
}

test_program_when_it_has_capabilities_then_126() {
    build_programs
    if ! setcap cap_net_bind_service=ep "$tmp/bin/capable" 2>/dev/null; then
        skip "setcap is not permitted here"
        return
    fi
    refused 126 "capabilities" "$tmp/bin/capable"
}

test_program_when_unreadable_then_126() {
    unprivileged_reads "$WRAPSOCK" "$PRELOAD" || { skip "no other user can read $WRAPSOCK"; return; }
    gcc -o "$tmp/bin/unreadable" "$tmp/null.c"
    cp "$POLICY" "$tmp/theirs.conf"
    chmod 644 "$tmp/theirs.conf"
    for mode in 755 111; do
        chmod $mode "$tmp/bin/unreadable"
        run $unprivileged $launcher -p "$tmp/theirs.conf" -- "$tmp/bin/unreadable"
        if [ $mode = 755 ]; then
            assertEquals "readable: $err" 0 "$status"
        else
            assertEquals "$err" 126 "$status"
            assertContains "$err" "cannot be read"
        fi
    done
}

test_program_when_found_by_path_then_judged_too() {
    build_programs
    run env PATH="$tmp/bin:$PATH" LD_PRELOAD="$sanitizer" "$WRAPSOCK" -p "$POLICY" static
    assertEquals "$err" "126" "$status"
    assertContains "$err" "wrapsock: static: static: "
}

# --- scripts ---

test_script_when_its_interpreter_cannot_be_protected_then_126() {
    build_programs
    ln -sf env "$tmp/bin/link-to-env"
    for name in static setuid go; do
        begin_case "#! $name"
        printf '#!%s\n' "$tmp/bin/$name" | script s1
        refused 126 "it is run by $tmp/bin/$name: " "$tmp/bin/s1"
        begin_case "#! a script of $name"
        printf '#! %s -x\n' "$tmp/bin/s1" | script s2
        refused 126 "it is run by $tmp/bin/$name: " "$tmp/bin/s2"
        for line in "$tmp/bin/$name" "-S $tmp/bin/$name -x" "-S  A=1 B='2 3' $tmp/bin/$name" "-S -u A -i $tmp/bin/$name" \
            "-S \"$tmp/bin/$name\" x" "--split-string=$tmp/bin/$name" "-vS $tmp/bin/$name"; do
            begin_case "env $line"
            printf '#!/usr/bin/env %s\n' "$line" | script s3
            refused 126 "it is run by $tmp/bin/$name: " "$tmp/bin/s3"
        done
        end_case
    done
}

test_script_when_its_interpreter_is_missing_then_said() {
    begin_case "#! nosuch"
    printf '#!/nosuch/interpreter\n' | script missing
    refused 126 "its interpreter /nosuch/interpreter: not found" "$tmp/bin/missing"
    begin_case "env nosuch"
    printf '#!/usr/bin/env no-such-interpreter\n' | script missing
    refused 127 "no-such-interpreter: not found" "$tmp/bin/missing"
    begin_case "no interpreter"
    printf '#! \n' | script missing
    refused 126 "names no interpreter" "$tmp/bin/missing"
    begin_case "its own interpreter"
    printf '#!%s\n' "$tmp/bin/missing" | script missing
    refused 126 "it is run by" "$tmp/bin/missing"
    end_case
}

test_script_when_in_order_then_runs() {
    begin_case "#!/bin/sh"
    printf '#!/bin/sh\necho "sh $1"\n' | script fine
    run wrapped "$tmp/bin/fine" 'a  b'
    assertEquals "$err" "0:sh a  b" "$status:$out"
    begin_case "env"
    printf '#!/usr/bin/env sh\necho "env $1"\n' | script fine
    run wrapped "$tmp/bin/fine" x
    assertEquals "$err" "0:env x" "$status:$out"
    begin_case "env -S"
    printf '#!/usr/bin/env -S sh -e\necho "split $1"\n' | script fine
    run wrapped "$tmp/bin/fine" x
    assertEquals "$err" "0:split x" "$status:$out"
    begin_case "no #! line: sh runs it, as execvp would"
    printf 'echo "none $1 ${LD_PRELOAD##*/}"\n' | script fine
    run wrapped "$tmp/bin/fine" 'x  y'
    assertEquals "$err" "0:none x  y libwrapsock-preload.so" "$status:$out"
    end_case
}

# --- transparency ---

test_command_when_it_ends_then_its_status_is_ours() {
    for wanted in 0 1 37 125 126 127 255; do
        begin_case "exit $wanted"
        run wrapped sh -c "exit $wanted"
        assertEquals "$err" "$wanted:" "$status:$err"
        end_case
    done
    begin_case "a signal"
    run wrapped sh -c 'kill -TERM $$'
    assertEquals 143 "$status"
    end_case
}

test_command_when_started_then_in_our_place() {
    start placed sh -c 'echo $$ >"$1/before"; shift; exec "$@"' sh "$tmp" $wrapped sh -c 'echo $$ >"$1/after"; exec tail -f /dev/null' sh "$tmp"
    assertTrue "it starts" "wait_for test -s $tmp/after"
    assertEquals "$(cat "$tmp/before")" "$(cat "$tmp/after")"
}

test_output_when_all_is_fine_then_the_commands_alone() {
    run wrapped sh -c 'echo out; echo err >&2; cat'
    assertEquals "out:err" "$out:$err"
    run launch -v -p "$POLICY" -- sh -c 'echo out'
    assertEquals "out:" "$out:$err"
}

test_arguments_when_odd_then_kept() {
    run wrapped printf '%s|' -- '' ' a  b ' '*' '$HOME' "q'q" 'back\slash'
    assertEquals "--|| a  b |*|\$HOME|q'q|back\\slash|" "$out"
    run launch -p "$POLICY" printf '%s|' -v -q --help
    assertEquals "-v|-q|--help|" "$out"
}

test_preloads_when_there_are_some_then_kept_and_ours_last() {
    echo 'int ours_too;' >"$tmp/one.c"
    gcc -shared -fPIC -o "$tmp/one.so" "$tmp/one.c"
    gcc -shared -fPIC -o "$tmp/two.so" "$tmp/one.c"
    first=${sanitizer:+$sanitizer:}
    begin_case "colon"
    LD_PRELOAD=$first$tmp/one.so:$tmp/two.so run "$WRAPSOCK" -p "$POLICY" sh -c 'echo "$LD_PRELOAD"'
    assertEquals "$err" "$first$tmp/one.so:$tmp/two.so:$PRELOAD" "$out"
    begin_case "blank"
    LD_PRELOAD="$first$tmp/one.so $tmp/two.so" run "$WRAPSOCK" -p "$POLICY" sh -c 'echo "$LD_PRELOAD"'
    assertEquals "$err" "$first$tmp/one.so $tmp/two.so:$PRELOAD" "$out"
    begin_case "none"
    LD_PRELOAD=$sanitizer run "$WRAPSOCK" -p "$POLICY" sh -c 'echo "$LD_PRELOAD"'
    assertEquals "$err" "$first$PRELOAD" "$out"
    begin_case "twice under the launcher, once in the list"
    run wrapped "$WRAPSOCK" -p "$POLICY" sh -c 'echo "$LD_PRELOAD"'
    assertEquals "$err" "$first$PRELOAD" "$out"
    end_case
}

test_variables_when_unknown_then_ignored_and_kept() {
    WRAPSOCK_BOGUS=1 WRAPSOCK_=2 run wrapped sh -c 'echo "$WRAPSOCK_BOGUS$WRAPSOCK_"'
    assertEquals "$err" "0:12:" "$status:$out:$err"
}

test_environment_when_compared_then_only_ours_is_added() {
    # Debian's sh brings PWD along where it is missing.
    env -i A=1 PATH="$PATH" HOME=/ PWD="$PWD" LD_PRELOAD="$sanitizer" ASAN_OPTIONS="${ASAN_OPTIONS:-}" "$WRAPSOCK" -p "$POLICY" env | sort >"$tmp/inside"
    env -i A=1 PATH="$PATH" HOME=/ PWD="$PWD" ASAN_OPTIONS="${ASAN_OPTIONS:-}" env | sort >"$tmp/outside"
    added=$(comm -23 "$tmp/inside" "$tmp/outside" | sed 's/=.*//' | tr '\n' ' ')
    assertEquals "LD_PRELOAD WRAPSOCK_POLICY " "$added"
    assertNull "$(comm -13 "$tmp/inside" "$tmp/outside")"
}

test_level_when_asked_for_then_in_the_log_variable() {
    while read -r option set wanted; do
        begin_case "$option, WRAPSOCK_LOG $set"
        if [ "$set" = unset ]; then
            run launch "$option" -p "$POLICY" sh -c 'echo "${WRAPSOCK_LOG-unset}"'
        else
            WRAPSOCK_LOG=$set run launch "$option" -p "$POLICY" sh -c 'echo "${WRAPSOCK_LOG-unset}"'
        fi
        assertEquals "$wanted" "$out"
        end_case
    done <<'END'
-v unset info
-q unset error
-v debug debug
-q warn warn
END
}

. "$SHUNIT2"
