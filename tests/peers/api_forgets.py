#!/usr/bin/env python3
"""The explicit API's client: api_forgets.py LIBRARY PORT CERTS: a word is read and goes back twice, then all is closed and freed. "done", and we stay.

Nothing here may load OpenSSL, nor keep the word: it never becomes an object of Python's.
"""
import ctypes
import signal
import socket
import sys

PROTOCOL_TLS_CLIENT, WORD = 16, 48

lib = ctypes.CDLL(sys.argv[1])
for name in ("wrapsock_ctx_new", "wrapsock_wrap"):
    getattr(lib, name).restype = ctypes.c_void_p
lib.wrapsock_errstr.restype = ctypes.c_char_p
lib.wrapsock_recv.restype = lib.wrapsock_sendall.restype = ctypes.c_ssize_t


def must(fine):
    if not fine:
        sys.exit("failed: %s" % lib.wrapsock_errstr(None))


context = ctypes.c_void_p(lib.wrapsock_ctx_new(PROTOCOL_TLS_CLIENT))
certs = sys.argv[3].encode()
must(lib.wrapsock_ctx_load_verify_locations(context, certs + b"/ca.pem", None) == 0)
must(lib.wrapsock_ctx_load_cert_chain(context, certs + b"/client.pem", certs + b"/client.key") == 0)
conn = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
sock = ctypes.c_void_p(lib.wrapsock_wrap(context, conn.fileno(), 0, b"localhost"))
must(sock.value)
word, have = ctypes.create_string_buffer(WORD), 0
while have < WORD:
    got = lib.wrapsock_recv(sock, ctypes.byref(word, have), ctypes.c_size_t(min(7, WORD - have)), 0)
    must(got > 0)
    have += got
for _ in range(2):
    must(lib.wrapsock_sendall(sock, word, ctypes.c_size_t(WORD), 0) == WORD)
ctypes.memset(word, 0, WORD)
lib.wrapsock_close(sock)
lib.wrapsock_ctx_free(context)
conn.close()
print("done", flush=True)
signal.pause()
