"""TLS and a login: ``python secure.py HOST:PORT AUTHORITY.pem USER``, the password in $PASSWORD."""

import os
import sys

import mainstem as ms

address, authority, user = sys.argv[1:]
password = os.environ["PASSWORD"]

with ms.connect(
    address,
    tls=ms.Tls(ca=authority),
    security=ms.Sasl("SCRAM-SHA-512", user, password),
) as stem:
    print(f"{user} sees {len(stem.topics())} topics")
