#!/usr/bin/python3
"""check.py CASES FOLDER JUDGE [NAME...]: make the certificates of the table, have them judged by us, by openssl and by certtool, and compare.

A line for each case, "ok NAME" or "FAIL NAME: why"; FOLDER keeps NAME.pem, NAME.key, NAME.crl (NAME.clean.crl revokes
nobody) and NAME.policy, the keys of a rule that verifies it.  Ours is judged in one
process, in TLS 1.2 and TLS 1.3.
"""
import concurrent.futures
import ipaddress
import os
import re
import subprocess
import sys
import time

import make

EXPIRED, REVOKED = {"9", "10"}, {"23"}
SSLPURPOSE = {"client": "sslserver", "server": "sslclient"}
EKU = {"client": make.PURPOSES["server"], "server": make.PURPOSES["client"]}
OWN = ("name", "send", "trust", "show", "forged")     # settings that are no keys of a policy


class Row:
    def __init__(self, line):
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 8:
            fields.append("")
        if len(fields) != 9:
            raise ValueError("%d fields, expected 9: %s" % (len(fields), line))
        self.name, self.role, self.certificates, settings, self.ours, self.openssl, self.gnutls, self.says, self.why = fields
        settings, _, more = settings.partition(";")
        if more:
            self.certificates += " ;" + more
        self.settings = dict(word.partition("=")[::2] for word in settings.split())

    def make(self, folder):
        self.case = make.Case(self.certificates, self.role)
        chain, case = self.case.chains[0], self.case
        self.sent = case.pick(self.settings.get("send"), chain[:-1] if len(chain) > 1 else chain)
        self.trusted = case.pick(self.settings.get("trust"), chain[-1:])
        self.path = os.path.join(folder, self.name)
        write(self.path + ".leaf", case.leaf.pem())
        write(self.path + ".trust.pem", "".join(certificate.pem() for certificate in self.trusted))
        write(self.path + ".untrusted", "".join(certificate.pem() for certificate in self.sent[1:]))
        if case.crls:
            write(self.path + ".crl", "".join(case.crls))
            write(self.path + ".clean.crl", "".join(case.clean_crls))
        if self.settings.get("show") != "nothing":
            shown = "".join(certificate.pem() for certificate in self.sent)
            write(self.path + ".chain", shown)
            write(self.path + (".forged" if "forged" in self.settings else ".pem"), shown)
            write(self.path + ".key", case.leaf.key_pem())
            if "forged" in self.settings:
                write(self.path + ".pem", make.twin(case.leaf).pem())

    def host(self):
        return self.settings.get("name", "server.test") if self.role == "client" else None

    def keys(self, folder):
        keys = [("ca_certs", self.path + ".trust.pem")]
        if self.role == "server":
            keys += [("cert_reqs", "required"), ("certfile", folder + "/us.pem"), ("keyfile", folder + "/us.key")]
            if "cert_reqs" in self.settings:
                del keys[1]
        if self.case.crls:
            keys.append(("crlfile", self.path + ".crl"))
        for key, value in self.settings.items():
            if key not in OWN:
                value = re.sub("@([a-z]+)", lambda at: self.case.labels[at[1]].pin(), value) if key == "pin" else value.replace("%20", " ")
                keys.append((key, value))
        return keys

    def manifest(self, folder):
        return "\t".join([self.name, self.role, self.host() or "-"] + ["%s=%s" % pair for pair in self.keys(folder)])

    def policy(self, folder):
        keys = self.keys(folder) + ([("server_hostname", self.host())] if self.host() and self.settings.get("check_hostname") != "no" else [])
        return "".join("%s = %s\n" % pair for pair in keys)


def write(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def is_address(name):
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)


def ask_openssl(row):
    command = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", row.path + ".trust.pem", "-purpose", SSLPURPOSE[row.role],
               "-auth_level", "2", "-untrusted", row.path + ".untrusted"]
    if len(row.sent) < 2:
        command = command[:-2]
    if row.host():
        command += ["-verify_ip" if is_address(row.host()) else "-verify_hostname", row.host()]
    if row.case.crls:
        command += ["-CRLfile", row.path + ".crl", "-crl_check"]
        command += [] if row.settings.get("crl_check") == "leaf" else ["-crl_check_all"]
    done = run(*command, row.path + ".leaf")
    if done.returncode == 0:
        return "ok"
    number = re.search(rb"error (\d+) at", done.stdout)
    return number[1].decode() if number else done.stdout.decode(errors="replace")


def ask_gnutls(row):
    command = ["certtool", "--verify", "--load-ca-certificate", row.path + ".trust.pem", "--infile", row.path + ".chain", "--verify-purpose",
               EKU[row.role]]
    if row.host():
        command += ["--verify-hostname", row.host()]
    if row.case.crls:
        command += ["--load-crl", row.path + ".crl"]
    return "ok" if run(*command).returncode == 0 else "bad"


def expected_errno(row):
    if row.ours == "ok" or row.ours.isupper():
        return "ok" if row.ours == "ok" else "E" + row.ours
    return "EKEYEXPIRED" if row.ours in EXPIRED else "EKEYREVOKED" if row.ours in REVOKED else "EKEYREJECTED"


def faults_of_line(row, line):
    """What a refusal has to tell, whatever it is about."""
    wanted = [row.says, "; the program got " + expected_errno(row), "rule table (cases:1)", "192.0.2.1:443", "; after "]
    if row.ours not in ("none", "PROTO"):
        wanted += ["; certificate of ", " offers ", "; issuer ", ", serial ", ", valid ", "; OpenSSL: "]
        if "..." not in line:
            wanted.append("; pin = " + row.case.leaf.pin())
        if "expected name" not in line and row.role == "client":
            wanted.append("expected name")
    if row.ours.isdigit():
        wanted.append("X509_V_ERR %s at depth " % row.ours)
    if row.ours in ("pin", "allow"):
        wanted += ["; expected %s = " % row.ours, "; cure: " + row.ours]
    faults = ["the line lacks \"%s\"" % part for part in wanted if part not in line]
    if len(line) > 1400 or re.search("[^ -~]", line):
        faults.append("the line is too long or not printable")
    if " // " in line:
        faults.append("more than one line")
    return faults


def faults_of_ours(row, answers):
    faults = []
    for version, got, heard, line in answers:
        wrong = [] if got == expected_errno(row) else ["we said %s, expected %s (%s)" % (got, row.ours, line)]
        if not wrong and row.ours == "ok":
            wrong = ["a line for nothing"] if line else []
        elif not wrong:
            wrong = faults_of_line(row, line)
            if "alert" not in heard and row.ours != "PROTO":
                wrong.append("the peer heard nothing but \"%s\"" % heard)
        faults += ["%s: %s" % (version, fault) for fault in wrong] + (["line: " + line] if wrong else [])
    return faults if len(answers) == (1 if "forged" in row.settings else 2) else faults + ["%d answers of the judge" % len(answers)]


def faults_of_others(row, openssl, gnutls):
    faults = []
    for name, expected, got in (("openssl", row.openssl, openssl), ("gnutls", row.gnutls, gnutls)):
        if expected not in ("-", got):
            faults.append("%s said %s, expected %s" % (name, got, expected))
    ours = "ok" if row.ours == "ok" else "bad"
    others = {"ok" if verdict == "ok" else "bad" for verdict in (row.openssl, row.gnutls) if verdict != "-"}
    if others - {ours} and not row.why:
        faults.append("verdicts differ, and the table does not say why ours is right")
    if row.openssl.isdigit() and row.ours.isdigit() and row.openssl != row.ours and not row.why:
        faults.append("OpenSSL has another reason, and the table does not say why")
    return faults


def main():
    cases, folder, judge, only = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    with open(cases) as file:
        rows = [Row(line.strip()) for line in file if line.strip() and line[0] != "#"]
    rows = [row for row in rows if not only or row.name in only]
    started = time.time()
    us = make.Case("leaf dns=localhost < as=r", "client")
    write(folder + "/us.pem", us.leaf.pem())
    write(folder + "/us.trust.pem", us.labels["r"].pem())
    write(folder + "/us.key", us.leaf.key_pem())
    for row in rows:
        row.make(folder)
        write(row.path + ".policy", row.policy(folder))
    made = time.time()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        openssl = [pool.submit(ask_openssl, row) if row.openssl != "-" else None for row in rows]
        gnutls = [pool.submit(ask_gnutls, row) if row.gnutls != "-" else None for row in rows]
        done = subprocess.run([judge, folder], input="".join(row.manifest(folder) + "\n" for row in rows), stdout=subprocess.PIPE, text=True,
                              timeout=120, check=False)
        judged = time.time()
        openssl, gnutls = ([future.result() if future else "-" for future in futures] for futures in (openssl, gnutls))
    answers = {}
    for line in done.stdout.splitlines():
        name, *answer = line.split("\t")
        answers.setdefault(name, []).append(answer)
    if done.returncode != 0:
        print("FAIL judge: status %d" % done.returncode)
    for row, theirs, also in zip(rows, openssl, gnutls):
        faults = faults_of_ours(row, answers.get(row.name, [])) + faults_of_others(row, theirs, also)
        print("FAIL %s: %s" % (row.name, "; ".join(faults)) if faults else "ok %s" % row.name)
    print("made in %.1f s, judged in %.1f s, all in %.1f s" % (made - started, judged - made, time.time() - started), file=sys.stderr)


if __name__ == "__main__":
    main()
