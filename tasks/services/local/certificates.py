"""Certificate and signing keys of the embedded object store, in the folder where it works and looks for them.

Without them its gRPC ports answer every user of the machine: `weed shell` prints the keys of S3 and deletes buckets.
Its parts and `weed shell` show one self-signed certificate to each other; requests to a volume carry signed tokens.
Format: `weed scaffold -config=security` of SeaweedFS 4.48.
"""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.services.process.files import atomic_write

CERTIFICATE, KEY, SECURITY = "grpc.crt", "grpc.key", "security.toml"
COMPONENTS = ("master", "volume", "filer", "s3", "admin", "worker", "client")
TOKENS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
# As long as the store: nothing outside this folder trusts it.
VALID = timedelta(days=36_500)


def secure(folder: Path) -> None:
    """Write the files at the first start; one that is removed is made again, with the others, at the next."""
    if all((folder / name).exists() for name in (CERTIFICATE, KEY, SECURITY)):
        return
    certificate, key = _self_signed()
    for name, content in {KEY: key, CERTIFICATE: certificate, SECURITY: _configuration()}.items():
        atomic_write(folder / name, content, mode=0o600)


def _configuration() -> bytes:
    lines = ["[grpc]", f'ca = "{CERTIFICATE}"']
    for component in COMPONENTS:
        lines += [f"[grpc.{component}]", f'cert = "{CERTIFICATE}"', f'key = "{KEY}"']
    for token in TOKENS:
        lines += [f"[{token}]", f'key = "{secrets.token_hex(32)}"']
    return "\n".join([*lines, "[access]", "ui = false", ""]).encode()


def _self_signed() -> tuple[bytes, bytes]:
    """Return a certificate and its private key, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tunegate")])
    begun = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begun)
        .not_valid_after(begun + VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
