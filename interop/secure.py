"""Apache Kafka with TLS, logins and an authorizer: what a client meets in production."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

from interop.kafka import Kafka, start_kafka
from mainstem.testing.ports import lasting_port

PASSWORD = "correct, horse=battery"  # holds what SCRAM must escape in names, and PLAIN must not
REAUTHENTICATE_MS = 2000


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: the authority, what the broker shows, and what a client may show."""

    authority: Path
    broker: Path
    client: Path


def make_certificates(directory: Path) -> Certificates:
    """A certificate authority of our own, and certificates for 127.0.0.1 and a client."""
    authority = trustme.CA()
    found = Certificates(*(directory / f"{name}.pem" for name in ("authority", "broker", "client")))
    authority.cert_pem.write_to_path(str(found.authority))
    for path, issued in (
        (found.broker, authority.issue_cert("127.0.0.1")),
        (found.client, authority.issue_cert("client@example.org")),
    ):
        pem = issued.private_key_and_cert_chain_pem.bytes()
        # Java wants the key as PKCS#8, whatever trustme wrote.
        path.write_bytes(_pkcs8(pem))
    return found


def _pkcs8(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    end = pem.index(b"-----BEGIN CERTIFICATE")
    key = serialization.load_pem_private_key(pem[:end], None)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return text + pem[end:]


def secure_settings(certificates: Certificates) -> dict[str, str]:
    """Broker properties for the listeners SSL (client certificate needed), SASL_SSL and
    SASL_PLAINTEXT, whose SCRAM-SHA-256 sessions end after ``REAUTHENTICATE_MS``."""
    jaas = "org.apache.kafka.common.security"
    bearer = f"{jaas}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="
    protocols = ("PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT")
    settings = {
        # Kafka takes the controller's listener for a plain one only where all others are.
        "listener.security.protocol.map": ",".join(
            [*(f"{name}:{name}" for name in protocols), "CONTROLLER:PLAINTEXT"]
        ),
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.broker),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        "listener.name.ssl.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:root",
        "allow.everyone.if.no.acl.found": "false",
        "connection.failed.authentication.delay.ms": "0",
    }
    for listener in ("sasl_ssl", "sasl_plaintext"):
        prefix = f"listener.name.{listener}"
        settings |= {
            f"{prefix}.plain.sasl.jaas.config": (
                f"{jaas}.plain.PlainLoginModule required "
                f'user_root="{PASSWORD}" user_alice="{PASSWORD}";'
            ),
            f"{prefix}.scram-sha-256.sasl.jaas.config": f"{jaas}.scram.ScramLoginModule required;",
            f"{prefix}.scram-sha-512.sasl.jaas.config": f"{jaas}.scram.ScramLoginModule required;",
            f"{prefix}.oauthbearer.sasl.jaas.config": f'{bearer}"broker";',
        }
    settings["listener.name.sasl_plaintext.scram-sha-256.connections.max.reauth.ms"] = str(
        REAUTHENTICATE_MS
    )
    return settings


def start_secure_kafka(directory: Path) -> tuple[Kafka, Certificates]:
    """Start it; the plain listener's user is anonymous and may do everything."""
    directory.mkdir(parents=True, exist_ok=True)
    certificates = make_certificates(directory)
    names = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")
    listeners = {name: f"127.0.0.1:{lasting_port()}" for name in names}
    kafka = start_kafka(directory / "data", secure_settings(certificates), listeners=listeners)
    return kafka, certificates
