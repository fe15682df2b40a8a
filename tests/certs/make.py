"""Certificates on the spot, out of a line of words; also such as no decent tool would make: everything is written in DER by hand.

CERTIFICATES is chains separated by ";", a chain is certificates separated by "<", each issued by the next one and the last by itself.  A
certificate is words, KEY=VALUE or KEY, in which %20 is a blank.  The first of the first chain is the peer's own (the leaf); it is for
server.test (or a client of that name) unless it names others; the others are authorities.

as=LABEL        a name for it                       same=LABEL     subject and key of another certificate
by=LABEL        issued by that one, not by the next issuer=CN      claims another issuer
cn= ou= nocn    subject                             dns= ip= uri= email= nosan   alternative names
ca notca nobc path=N   basic constraints            eku=A+B noeku  ku=A+B noku   its purposes
permit= exclude=       name constraints (dns:a+ip:10.0.0.0/8+...)
key=ec|rsaN|ed25519|p384    md=sha256|sha1|md5      from=DAYS to=DAYS            relative to now
v1 v2           no extensions                       critical unknown             an extension that nobody knows
twice=san|bc|eku      an extension that comes twice     serial=N  many=N (names)  badsig  badsan  *N (so many in a row)
"crl by=LABEL revoke=LABEL from=DAYS to=DAYS critical empty" in the place of a chain is a CRL.
"""
import base64
import datetime
import hashlib
import ipaddress
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

NOW = datetime.datetime.utcnow().replace(microsecond=0)
OIDS = {
    "cn": "2.5.4.3", "ou": "2.5.4.11", "san": "2.5.29.17", "bc": "2.5.29.19", "ku": "2.5.29.15", "eku": "2.5.29.37", "skid": "2.5.29.14",
    "akid": "2.5.29.35", "nc": "2.5.29.30", "crlnumber": "2.5.29.20", "odd": "1.3.6.1.4.1.99999.1",
}
PURPOSES = {"server": "1.3.6.1.5.5.7.3.1", "client": "1.3.6.1.5.5.7.3.2", "code": "1.3.6.1.5.5.7.3.3", "ocsp": "1.3.6.1.5.5.7.3.9",
            "any": "2.5.29.37.0"}
USAGES = ["signature", "repudiation", "encipher", "data", "agree", "certsign", "crlsign"]
HASHES = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1(), "md5": hashes.MD5(), "sha384": hashes.SHA384()}
SIGNATURES = {("rsa", "sha256"): "1.2.840.113549.1.1.11", ("rsa", "sha1"): "1.2.840.113549.1.1.5", ("rsa", "md5"): "1.2.840.113549.1.1.4",
              ("ec", "sha256"): "1.2.840.10045.4.3.2", ("ec", "sha384"): "1.2.840.10045.4.3.3", ("ec", "sha1"): "1.2.840.10045.4.1",
              ("ed", "sha256"): "1.3.101.112"}


# --- DER ---

def tlv(tag, *contents):
    body = b"".join(contents)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(length)]) + length + body


def sequence(*contents):
    return tlv(0x30, *contents)


def integer(value):
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted):
    parts = [int(part) for part in dotted.split(".")]
    out = bytearray([parts[0] * 40 + parts[1]])
    for part in parts[2:]:
        digits = [part & 127]
        while part > 127:
            part >>= 7
            digits.append(part & 127 | 128)
        out += bytes(reversed(digits))
    return tlv(6, bytes(out))


def bits(content, unused=0):
    return tlv(3, bytes([unused]), content)


def moment(days):
    when = NOW + datetime.timedelta(days=days)
    if when.year < 2050:
        return tlv(0x17, when.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, when.strftime("%Y%m%d%H%M%SZ").encode())


# --- words ---

class Words:
    def __init__(self, text):
        self.pairs = []
        for word in text.split():
            key, _, value = word.partition("=")
            self.pairs.append((key, urllib.parse.unquote(value, encoding="latin-1")))

    def all(self, *keys):
        return [(key, value) for key, value in self.pairs if key in keys]

    def has(self, key):
        return any(key == name for name, _ in self.pairs)

    def get(self, key, default=None):
        return next((value for name, value in self.pairs if name == key), default)


# --- names ---

def general_name(kind, value):
    if kind == "ip":
        if "/" in value:
            net = ipaddress.ip_network(value)
            return tlv(0x87, net.network_address.packed + net.netmask.packed)
        return tlv(0x87, ipaddress.ip_address(value).packed)
    return tlv({"email": 0x81, "dns": 0x82, "uri": 0x86}[kind], value.encode("latin-1"))


def subject_name(words, default):
    names = [] if words.has("nocn") else [("cn", default)] if not words.has("cn") else []
    names = words.all("ou") + names + words.all("cn")
    return sequence(*(tlv(0x31, sequence(oid(OIDS[key]), tlv(12, value.encode("latin-1")))) for key, value in names))


def subtrees(tag, text):
    names = [item.partition(":") for item in text.split("+")]
    return tlv(tag, *(sequence(general_name(kind, value)) for kind, _, value in names))


# --- certificates ---

KEPT = {}


def make_key(kind):
    if kind.startswith("rsa"):
        if kind not in KEPT:        # one of a size is enough, and they take their time
            KEPT[kind] = rsa.generate_private_key(65537, int(kind[3:]))
        return KEPT[kind]
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if kind == "p384" else ec.SECP256R1())


def algorithm(key, md):
    kind = "rsa" if isinstance(key, rsa.RSAPrivateKey) else "ec" if isinstance(key, ec.EllipticCurvePrivateKey) else "ed"
    return sequence(oid(SIGNATURES[kind, md]), tlv(5) if kind == "rsa" else b"")


def sign(key, md, data):
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), HASHES[md])
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(HASHES[md]))
    return key.sign(data)


class Certificate:
    count = 0

    def __init__(self, words, leaf, role, labels):
        Certificate.count += 1
        self.words, self.leaf, self.role = words, leaf, role
        self.serial = int(words.get("serial", 1000 + Certificate.count))
        twin = labels.get(words.get("same"))
        self.key = twin.key if twin else make_key(words.get("key", "ec"))
        self.subject = twin.subject if twin else subject_name(words, "server.test" if leaf else "authority %d" % Certificate.count)
        self.spki = self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.keyid = hashlib.sha1(self.spki).digest()
        self.issuer = self
        self.der = None

    def extension(self, name, content, critical=False):
        return sequence(oid(OIDS[name]), tlv(1, b"\xff") if critical else b"", tlv(4, content))

    def alternatives(self):
        names = self.words.all("dns", "ip", "uri", "email")
        if not names and self.leaf and not self.words.has("nosan"):
            names = [("dns", "server.test")]
        names += [("dns", "n%06d.many.test" % i) for i in range(int(self.words.get("many", 0)))]
        if not names:
            return []
        content = sequence(*(general_name(*name) for name in names))
        return [self.extension("san", content[:-4] if self.words.has("badsan") else content)]

    def constraints(self):
        authority = not self.leaf
        if self.words.has("nobc"):
            return []
        if self.words.has("notca") or not (authority or self.words.has("ca")):
            return [self.extension("bc", sequence(), True)]
        path = self.words.get("path")
        return [self.extension("bc", sequence(tlv(1, b"\xff"), integer(int(path)) if path else b""), True)]

    def usages(self):
        default = "signature" if self.leaf else "certsign+crlsign"
        if self.words.has("noku"):
            return []
        value = sum(128 >> USAGES.index(name) for name in self.words.get("ku", default).split("+"))
        return [self.extension("ku", bits(bytes([value]), (value & -value).bit_length() - 1), True)]

    def purposes(self):
        default = ("client" if self.role == "server" else "server") if self.leaf else None
        names = self.words.get("eku", default)
        if not names or self.words.has("noeku"):
            return []
        return [self.extension("eku", sequence(*(oid(PURPOSES[name]) for name in names.split("+"))))]

    def extensions(self):
        parts = {"san": self.alternatives(), "bc": self.constraints(), "ku": self.usages(), "eku": self.purposes()}
        for name in self.words.all("twice"):
            parts[name[1]] *= 2
        out = sum(parts.values(), [])
        out.append(self.extension("skid", tlv(4, self.keyid)))
        if self.issuer is not self:
            out.append(self.extension("akid", sequence(tlv(0x80, self.issuer.keyid))))
        if self.words.has("permit") or self.words.has("exclude"):
            trees = [subtrees(tag, self.words.get(key)) for tag, key in ((0xa0, "permit"), (0xa1, "exclude")) if self.words.has(key)]
            out.append(self.extension("nc", sequence(*trees), True))
        if self.words.has("critical") or self.words.has("unknown"):
            out.append(self.extension("odd", tlv(5), self.words.has("critical")))
        return tlv(0xa3, sequence(*out))

    def finish(self):
        words, md = self.words, self.words.get("md", "sha256")
        version = 0 if words.has("v1") else 1 if words.has("v2") else 2
        by = sequence(tlv(0x31, sequence(oid(OIDS["cn"]), tlv(12, words.get("issuer").encode())))) if words.has("issuer") else self.issuer.subject
        tbs = sequence(
            tlv(0xa0, integer(version)) if version else b"", integer(self.serial), algorithm(self.issuer.key, md), by,
            sequence(moment(float(words.get("from", -1))), moment(float(words.get("to", 30)))), self.subject, self.spki,
            self.extensions() if version == 2 else b"")
        signature = sign(self.issuer.key, md, tbs)
        if words.has("badsig"):
            signature = sign(make_key("ec"), md, tbs)
        self.der = sequence(tbs, algorithm(self.issuer.key, md), bits(signature))

    def pem(self):
        return armour("CERTIFICATE", self.der)

    def pin(self):
        return "sha256:" + base64.b64encode(hashlib.sha256(self.spki).digest()).decode()

    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def twin(of):
    """A plain one with the same key, for peers that would not show the other."""
    plain = Certificate(Words("same=it"), True, of.role, {"it": of})
    plain.finish()
    return plain


def armour(what, der):
    text = base64.encodebytes(der).decode().replace("\n", "")
    return "-----BEGIN %s-----\n%s\n-----END %s-----\n" % (what, "\n".join(text[i:i + 64] for i in range(0, len(text), 64)), what)


def make_crl(words, labels, revoking=True):
    by = labels[words.get("by")]
    key = labels[words.get("signer", words.get("by"))].key
    revoked = [sequence(integer(labels[label].serial), moment(-1)) for _, label in words.all("revoke") if revoking]
    odd = sequence(oid(OIDS["odd"]), tlv(1, b"\xff"), tlv(4, tlv(5))) if words.has("critical") else b""
    number = sequence(oid(OIDS["crlnumber"]), tlv(4, integer(1)))
    tbs = sequence(integer(1), algorithm(key, "sha256"), by.subject, moment(float(words.get("from", -1))), moment(float(words.get("to", 30))),
                   sequence(*revoked) if revoked else b"", tlv(0xa0, sequence(number, odd)))
    return armour("X509 CRL", sequence(tbs, algorithm(key, "sha256"), bits(sign(key, "sha256", tbs))))


class Case:
    """What one line of CERTIFICATES makes: the chain that the peer sends, whom we trust, CRLs."""

    def __init__(self, text, role):
        self.labels, self.crls, self.chains = {}, [], []
        lists = []
        for part in text.split(";"):
            if part.split()[0] == "crl":
                lists.append(Words(part))
            else:
                self.chains.append(self.chain(part, role, not self.chains))
        for chain in self.chains:
            for at, certificate in enumerate(chain):
                by = certificate.words.get("by")
                certificate.issuer = self.labels[by] if by else chain[min(at + 1, len(chain) - 1)]
        for chain in self.chains:
            for certificate in chain:
                certificate.finish()
        self.crls = [make_crl(words, self.labels) for words in lists]
        self.clean_crls = [make_crl(words, self.labels, False) for words in lists]
        self.leaf = self.chains[0][0]

    def chain(self, text, role, first):
        out = []
        for part in text.split("<"):
            words = Words(part)
            times = next((int(key[1:]) for key, _ in words.pairs if key.startswith("*")), 1)
            for _ in range(times):
                certificate = Certificate(words, first and not out, role, self.labels)
                out.append(certificate)
                if words.get("as"):
                    self.labels[words.get("as")] = certificate
        return out

    def pick(self, labels, default):
        if labels is None:
            return default
        return [self.leaf if label == "leaf" else self.labels[label] for label in labels.split(",") if label]
