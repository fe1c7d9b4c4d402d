# SPDX-License-Identifier: MIT
"""Certificates that tests make: an authority for one test session and what it signs, and others."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make_certificate(name, hosts=(), issuer=None):
    """(key, certificate), a day old and good for another; 'hosts': its names and addresses. Signed
    by 'issuer', such a pair, or by itself, and then an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[1].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return key, builder.sign(key if issuer is None else issuer[0], hashes.SHA256())


def certificate_pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class Authority:
    """ca_file: its certificate; issue(name): a file with a certificate for this machine and its
    key."""

    def __init__(self, directory):
        self.directory = directory
        self.pair = make_certificate("test CA")
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(certificate_pem(self.pair[1]))

    def issue(self, name):
        key, certificate = make_certificate(name, ["localhost", "127.0.0.1"], self.pair)
        path = self.directory / f"{name}.pem"
        path.write_bytes(certificate_pem(certificate) + key_pem(key))
        return path
