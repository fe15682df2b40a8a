#!/usr/bin/python3
"""What the library says of certificates beside what Python's own ssl says: one line a case that differs, last "N passed, N failed".

usage: cert_oracle.py LIBRARY certs FILE... | pem FILE... | times | show FILE
"""
import calendar
import ctypes
import pprint
import random
import ssl
import sys
import tempfile
import time

import _ssl


class Name(ctypes.Structure):
    _fields_ = [("rdn", ctypes.c_int), ("name", ctypes.c_char_p), ("value", ctypes.c_char_p), ("oid", ctypes.c_char_p),
                ("data", ctypes.c_void_p), ("len", ctypes.c_size_t)]


lib = ctypes.CDLL(sys.argv[1])
cert_p = ctypes.c_void_p
lib.wrapsock_cert_parse_pem.argtypes = [ctypes.c_char_p]
lib.wrapsock_cert_parse_pem.restype = cert_p
lib.wrapsock_cert_free.argtypes = [cert_p]
lib.wrapsock_errstr.argtypes = [ctypes.c_void_p]
lib.wrapsock_errstr.restype = ctypes.c_char_p
for text in "serial_number", "not_before", "not_after":
    function = getattr(lib, "wrapsock_cert_" + text)
    function.argtypes = [cert_p]
    function.restype = ctypes.c_char_p
lib.wrapsock_cert_version.argtypes = [cert_p]
lib.wrapsock_cert_validated.argtypes = [cert_p]
for names in "subject", "issuer", "alt_names":
    function = getattr(lib, "wrapsock_cert_" + names)
    function.argtypes = [cert_p, ctypes.POINTER(ctypes.POINTER(Name))]
    function.restype = ctypes.c_size_t
lib.wrapsock_cert_dir_name.argtypes = [cert_p, ctypes.c_size_t, ctypes.POINTER(ctypes.POINTER(Name))]
lib.wrapsock_cert_dir_name.restype = ctypes.c_size_t
lib.wrapsock_cert_uris.argtypes = [cert_p, ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p))]
lib.wrapsock_cert_uris.restype = ctypes.c_size_t
lib.wrapsock_DER_cert_to_PEM_cert.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
lib.wrapsock_DER_cert_to_PEM_cert.restype = ctypes.c_void_p
lib.wrapsock_PEM_cert_to_DER_cert.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t)]
lib.wrapsock_free.argtypes = [ctypes.c_void_p]
lib.wrapsock_cert_time_to_seconds.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_int64)]

passed = failed = 0


def case(what, ours, python):
    global passed, failed
    if ours == python:
        passed += 1
    else:
        failed += 1
        print("%s:\n  ours   %s\n  python %s" % (what, ours, python))


# --- certificates ---

def listed(function, *arguments):
    names = ctypes.POINTER(Name)()
    count = function(*arguments, ctypes.byref(names))
    return [names[i] for i in range(count)]


def text(name):
    return ctypes.string_at(name.data, name.len).decode("utf-8", "surrogateescape")


def relative_names(names, dotted=False):
    """Python's tuple of RDNs, each a tuple of pairs."""
    rdns = []
    last = None
    for name in names:
        if name.rdn != last:
            rdns.append([])
            last = name.rdn
        key = name.oid if dotted and b"jurisdiction" in name.name else name.name
        rdns[-1].append((key.decode(), text(name)))
    return tuple(tuple(rdn) for rdn in rdns)


def alt_name(cert, i, name):
    if name.name == b"DirName":
        return ("DirName", relative_names(listed(lib.wrapsock_cert_dir_name, cert, i)))
    return (name.name.decode(), text(name))


def parse(pem):
    cert = lib.wrapsock_cert_parse_pem(pem.encode())
    if not cert:
        raise SystemExit(lib.wrapsock_errstr(None).decode())
    return cert


def dictionary(pem, dotted=False):
    """The certificate as getpeercert of Python returns it, from what the library says."""
    cert = parse(pem)
    found = {
        "subject": relative_names(listed(lib.wrapsock_cert_subject, cert), dotted),
        "issuer": relative_names(listed(lib.wrapsock_cert_issuer, cert)),
        "version": lib.wrapsock_cert_version(cert),
        "serialNumber": lib.wrapsock_cert_serial_number(cert).decode(),
        "notBefore": lib.wrapsock_cert_not_before(cert).decode(),
        "notAfter": lib.wrapsock_cert_not_after(cert).decode(),
        "subjectAltName": tuple(alt_name(cert, i, n) for i, n in enumerate(listed(lib.wrapsock_cert_alt_names, cert))),
    }
    for key in "OCSP", "caIssuers", "crlDistributionPoints":
        uris = ctypes.POINTER(ctypes.c_char_p)()
        count = lib.wrapsock_cert_uris(cert, key.encode(), ctypes.byref(uris))
        found[key] = tuple(uris[i].decode() for i in range(count))
    assert lib.wrapsock_cert_validated(cert)
    lib.wrapsock_cert_free(cert)
    return {key: value for key, value in found.items() if value != ()}


def blocks(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        content = f.read()
    for part in content.split(ssl.PEM_HEADER)[1:]:
        yield ssl.PEM_HEADER + part.split(ssl.PEM_FOOTER)[0] + ssl.PEM_FOOTER + "\n"


def python_dictionary(pem):
    with tempfile.NamedTemporaryFile("w") as f:
        f.write(pem)
        f.flush()
        return {key: value for key, value in _ssl._test_decode_cert(f.name).items() if value != ()}


def certs(paths):
    for path in paths:
        for i, pem in enumerate(blocks(path)):
            case("%s, certificate %d" % (path, i), dictionary(pem), python_dictionary(pem))


def show(paths):
    """As the examples of the ssl document print it: what it returned of a certificate, with the attributes that had no name then."""
    with open(paths[0], encoding="utf-8") as f:
        found = dictionary(f.read(), dotted=True)
    pprint.pprint({key: found[key] for key in ("notAfter", "subject", "subjectAltName") if key in found})


# --- PEM and DER ---

def to_pem(der):
    pem = lib.wrapsock_DER_cert_to_PEM_cert(der, len(der))
    try:
        return ctypes.string_at(pem).decode() if pem else None
    finally:
        lib.wrapsock_free(pem)


def to_der(pem):
    der, size = ctypes.c_void_p(), ctypes.c_size_t()
    if lib.wrapsock_PEM_cert_to_DER_cert(pem.encode(), ctypes.byref(der), ctypes.byref(size)) < 0:
        return None
    try:
        return ctypes.string_at(der, size.value)
    finally:
        lib.wrapsock_free(der)


def pem(paths):
    source = random.Random(1)
    for size in range(1, 400):
        der = source.randbytes(size)
        case("DER of %d bytes" % size, to_pem(der), ssl.DER_cert_to_PEM_cert(der))
        case("PEM of %d bytes" % size, to_der(ssl.DER_cert_to_PEM_cert(der)), der)
    for path in paths:
        for i, block in enumerate(blocks(path)):
            der = ssl.PEM_cert_to_DER_cert(block)
            case("%s, certificate %d as DER" % (path, i), to_der(block), der)
            case("%s, certificate %d as PEM" % (path, i), to_pem(der), ssl.DER_cert_to_PEM_cert(der))


# --- times ---

def seconds(timestring):
    value = ctypes.c_int64(-1)
    if lib.wrapsock_cert_time_to_seconds(timestring.encode(), ctypes.byref(value)) < 0:
        return None
    return value.value


def python_seconds(timestring):
    try:
        return ssl.cert_time_to_seconds(timestring)
    except ValueError:
        return None


def mutated(source, timestring):
    at = source.randrange(len(timestring))
    how = source.randrange(3)
    new = source.choice("0123456789 :GMTgmt\tJanfebx-+.") if how else ""
    return timestring[:at] + new + timestring[at + (how != 2):]


def impossible(timestring):
    """Days that a month does not have: we refuse them, Python counts on into the next month."""
    try:
        day = int(timestring[3:].split()[0])
        month = [m.lower() for m in calendar.month_abbr_c].index(timestring[:3].lower())
        year = int(timestring[3:].split()[2])
        return day > calendar.monthrange(year, month)[1]
    except (ValueError, IndexError):
        return False


def times():
    source = random.Random(2)
    calendar.month_abbr_c = ["", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    for _ in range(3000):
        when = source.randrange(-62135596800, 253402300800)
        t = time.gmtime(when)
        timestring = "%s %2d %02d:%02d:%02d %04d GMT" % (calendar.month_abbr_c[t.tm_mon], t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, t.tm_year)
        case(timestring, seconds(timestring), when)
        other = mutated(source, timestring)
        case(repr(other), seconds(other), None if impossible(other) else python_seconds(other))


if __name__ == "__main__":
    import locale
    locale.setlocale(locale.LC_ALL, "")
    what, rest = sys.argv[2], sys.argv[3:]
    if what == "show":
        show(rest)
        sys.exit(0)
    if what == "times":
        times()
    else:
        {"certs": certs, "pem": pem}[what](rest)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed != 0)
