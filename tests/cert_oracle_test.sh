#!/bin/sh
# Certificates, their times and their PEM: what the library says equals what Python's own ssl says of the same input, and what the
# examples of its document print. Certificates of CPython's own tests are read where the distribution installs them.
. "$(dirname "$0")/lib.sh"

PY_TESTS=/usr/lib/python3.11/test

# oracle WHAT...: ends with the counts, which are cases of the test that calls it.
oracle() {
    timeout 100 env ${sanitizer:+LD_PRELOAD=$sanitizer} "$PYTHON" "$TOP/tests/peers/cert_oracle.py" "$LIBRARY" "$@" >"$tmp/oracle" 2>&1
    _status=$?
    _counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$tmp/oracle")
    assertEquals "$(tail -n 12 "$tmp/oracle")" 0 "$_status"
    assertNotNull "no count: $(tail -n 3 "$tmp/oracle")" "$_counts"
    assertNotEquals "nothing was compared" 0 "${_counts% *}"
}

# show FILE: the certificate as the document's examples print it.
show() { env ${sanitizer:+LD_PRELOAD=$sanitizer} "$PYTHON" "$TOP/tests/peers/cert_oracle.py" "$LIBRARY" show "$1" 2>&1; }

have_cpython() {
    [ -e "$PY_TESTS/$1" ] || { skip "no $PY_TESTS/$1: package libpython3.11-testsuite"; return 1; }
}

# issue NAME SUBJECT END EXTENSIONS: a certificate of its own issue, in $tmp.
issue() {
    mkdir -p "$tmp/ca"
    : >"$tmp/ca/index"
    printf '%s\n' '[ca]' 'default_ca = this' '[this]' "database = $tmp/ca/index" "serial = $tmp/ca/serial" "new_certs_dir = $tmp/ca" \
        'default_md = sha256' 'policy = any' 'unique_subject = no' '[any]' 'commonName = supplied' '[ext]' "$4" >"$tmp/ca/conf"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -utf8 -subj "$2" -keyout "$tmp/$1.key" -out "$tmp/$1.csr" 2>"$tmp/log" &&
        openssl ca -batch -notext -config "$tmp/ca/conf" -rand_serial -preserveDN -selfsign -keyfile "$tmp/$1.key" -startdate 20070101000000Z \
            -enddate "$3" -extensions ext -in "$tmp/$1.csr" -out "$tmp/$1.pem" 2>>"$tmp/log"
}

# Rows 87 to 90, 93, S6, S7, D6.
test_certificates_when_decoded_then_as_python() {
    for name in allsans badkey nullbytecert talos-2019-0758 keycert3 nokia idnsans nosan nullcert selfsigned_pythontestdotnet; do
        have_cpython "$name.pem" || return
    done
    oracle certs "$PY_TESTS/allsans.pem" "$PY_TESTS/badkey.pem" "$PY_TESTS/nullbytecert.pem" "$PY_TESTS/talos-2019-0758.pem" "$PY_TESTS/keycert3.pem" \
        "$PY_TESTS/nokia.pem" "$PY_TESTS/idnsans.pem" "$PY_TESTS/nosan.pem" "$PY_TESTS/selfsigned_pythontestdotnet.pem"
}

test_authorities_when_decoded_then_as_python() {
    [ -e /etc/ssl/certs/ca-certificates.crt ] || { skip 'no /etc/ssl/certs/ca-certificates.crt: package ca-certificates'; return; }
    oracle certs /etc/ssl/certs/ca-certificates.crt
}

test_own_certificates_when_decoded_then_as_python() {
    assertTrue "no certificate: $(tail -n 3 "$tmp/log")" "issue odd '/C=US/O=one/O=two/OU=a+CN=b+OU=c/CN=c' 99991231235959Z \
'subjectAltName=dirName:dir,DNS:a.test,URI:urn:x,email:a@b.test,IP:192.0.2.7,IP:fe80::1,RID:1.2.3.4,RID:2.5.4.3
authorityInfoAccess=OCSP;URI:http://ocsp.test/,caIssuers;URI:http://ca.test/a,caIssuers;URI:http://ca.test/b,OCSP;email:a@b.test
crlDistributionPoints=URI:http://crl.test/1,URI:http://crl.test/2,points
[points]
fullname=URI:http://crl.test/3,DNS:crl.test
[dir]
C=DE
1.O=a\\, b
2.O=c=d'"
    oracle certs "$tmp/odd.pem" "$certs/server.pem" "$certs/ca.pem" "$certs/chain.pem" "$certs/not-yet.pem"
}

# Row 91: the first dictionary that the document prints.
test_first_example_when_printed_then_as_the_document() {
    have_cpython badkey.pem || return
    sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p;/END CERTIFICATE/q' "$PY_TESTS/badkey.pem" >"$tmp/first.pem"
    assertEquals "{'notAfter': 'Feb 16 16:54:50 2013 GMT',
 'subject': ((('countryName', 'US'),),
             (('stateOrProvinceName', 'Delaware'),),
             (('localityName', 'Wilmington'),),
             (('organizationName', 'Python Software Foundation'),),
             (('organizationalUnitName', 'SSL'),),
             (('commonName', 'somemachine.python.org'),))}" "$(show "$tmp/first.pem")"
}

# Row 92: two attributes that had no name then (OpenSSL has since learnt one: the number is asked for), a repeated one in its order.
test_second_example_when_printed_then_as_the_document() {
    assertTrue "no certificate: $(tail -n 3 "$tmp/log")" "issue second '/serialNumber=2497886/1.3.6.1.4.1.311.60.2.1.3=US/1.3.6.1.4.1.311.60.2.1.2=Delaware\
/C=US/postalCode=94043/ST=California/L=Mountain View/street=487 East Middlefield Road/O=VeriSign, Inc./OU=Production Security Services\
/OU=Terms of use at www.verisign.com\/rpa (c)06/CN=www.verisign.com' 20090508235959Z basicConstraints=CA:FALSE"
    assertEquals "{'notAfter': 'May  8 23:59:59 2009 GMT',
 'subject': ((('serialNumber', '2497886'),),
             (('1.3.6.1.4.1.311.60.2.1.3', 'US'),),
             (('1.3.6.1.4.1.311.60.2.1.2', 'Delaware'),),
             (('countryName', 'US'),),
             (('postalCode', '94043'),),
             (('stateOrProvinceName', 'California'),),
             (('localityName', 'Mountain View'),),
             (('streetAddress', '487 East Middlefield Road'),),
             (('organizationName', 'VeriSign, Inc.'),),
             (('organizationalUnitName', 'Production Security Services'),),
             (('organizationalUnitName',
               'Terms of use at www.verisign.com/rpa (c)06'),),
             (('commonName', 'www.verisign.com'),))}" "$(show "$tmp/second.pem")"
    oracle certs "$tmp/second.pem"
}

# Row 93: the third, with a name of a type that is not shown.
test_third_example_when_printed_then_as_the_document() {
    assertTrue "no certificate: $(tail -n 3 "$tmp/log")" "issue third /CN=linuxfr.org 20110626214146Z 'subjectAltName=DNS:linuxfr.org,otherName:1.2.3.4;UTF8:x'"
    assertEquals "{'notAfter': 'Jun 26 21:41:46 2011 GMT',
 'subject': ((('commonName', 'linuxfr.org'),),),
 'subjectAltName': (('DNS', 'linuxfr.org'), ('othername', '<unsupported>'))}" "$(show "$tmp/third.pem")"
}

# Rows 45 and 46: byte for byte.
test_pem_when_converted_then_as_python() {
    oracle pem "$certs/server.pem" "$certs/chain.pem"
    have_cpython keycert3.pem || return
    oracle pem "$PY_TESTS/keycert3.pem" "$PY_TESTS/nokia.pem"
}

# Rows 37 to 40: wherever the process believes to be.
test_times_when_converted_then_as_python() {
    for zone in UTC America/Los_Angeles Asia/Kathmandu; do
        begin_case "TZ=$zone"
        TZ=$zone oracle times
        end_case
    done
}

test_times_when_the_locale_is_foreign_then_the_same() {
    for language in de_DE tr_TR; do
        if ! localedef -i "$language" -f UTF-8 "$tmp/$language" 2>/dev/null; then
            skip "no $language: package locales"
            return
        fi
        begin_case "$language"
        case $(LOCPATH=$tmp LC_ALL=$language "$PYTHON" -c 'import locale; print(locale.setlocale(locale.LC_ALL, ""))') in
        "$language"*) TZ=America/Los_Angeles LOCPATH=$tmp LC_ALL=$language oracle times ;;
        *) fail 'the locale is not in force' ;;
        esac
        end_case
    done
}

. "$SHUNIT2"
