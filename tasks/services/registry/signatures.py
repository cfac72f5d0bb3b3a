"""Signatures of models with a key pair, in the format of OpenSSF model signing.

What is signed is the folder that `tunegate pull` makes, by the digests of its files, so `model_signing verify` checks
that folder too. The card, which is written after the gate, and the signature itself are left out.
Source: https://github.com/ossf/model-signing-spec
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import UsageError
from schemas.settings import Settings

SIGNATURE = "model.sig"
CARD = "README.md"
MAKE_KEY = "`openssl ecparam -name prime256v1 -genkey -noout -out key.pem` makes one"
MAKE_PUBLIC = "`openssl ec -in key.pem -pubout -out key.pub` writes it"


def check_keys(settings: Settings) -> None:
    """See before any work that the configured keys can be used. Raises UsageError naming the variable."""
    if settings.signing_key:
        _signer(settings)
    if settings.public_key:
        _verifier(settings.public_key)
    if not (settings.signing_key and settings.public_key):
        return
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    own, given = (load_pem_public_key(pem) for pem in (_public_half(settings), settings.public_key.read_bytes()))
    if own != given:
        raise UsageError(
            f"TUNEGATE_PUBLIC_KEY is {settings.public_key}, which is not the public half of TUNEGATE_SIGNING_KEY, "
            f"{settings.signing_key}: what it signs would be refused. {MAKE_PUBLIC}."
        )


def sign(name: str, files: dict[str, str], settings: Settings) -> bytes:
    """Give the signature of a folder by the SHA-256 of its files. Raises UsageError for a key that cannot sign."""
    signer = _signer(settings).set_hashing_config(_Known(name, files))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SIGNATURE
        signer.sign(folder, path)
        return path.read_bytes()


def is_ours(files: dict[str, str], signature: bytes, settings: Settings) -> bool:
    """Whether the configured private key made this signature of these files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key.pub"
        path.write_bytes(_public_half(settings))
        return find_fault(files, signature, path) is None


def find_fault(files: dict[str, str], signature: bytes, public_key: Path) -> str | None:
    """Say why a signature does not stand for a folder with these files. Raises UsageError for an unusable key."""
    verifier = _verifier(public_key).set_hashing_config(_Known("", files))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SIGNATURE
        path.write_bytes(signature)
        try:
            verifier.verify(Path(folder), path)
        # Whatever a damaged signature makes the library raise, it was not verified.
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].strip().rstrip(".")
            # The library goes on with both digests of each file as Python writes bytes.
            return "it is of other bytes" if reason.startswith("Signature mismatch") else reason
    return None


@dataclass(frozen=True)
class _Known:
    """Stands where model_signing's hashing configuration stands: the digests are known, so no file is read again."""

    name: str
    files: dict[str, str]

    def hash(self, model_path: Path, *, files_to_hash: object = None) -> Any:
        from model_signing._hashing.hashing import Digest
        from model_signing.manifest import Manifest, SerializationType

        outside = [SIGNATURE, CARD, ".git", ".gitattributes", ".github", ".gitignore"]
        how = SerializationType.from_args(
            {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": outside}
        )
        items = [how.new_item(file, Digest("sha256", bytes.fromhex(digest))) for file, digest in self.files.items()]
        return Manifest(self.name, items, how)

    def add_ignored_paths(self, *, model_path: Path, paths: object) -> None:
        """Nothing is read here, so nothing has to be ignored."""


def _signer(settings: Settings) -> Any:
    path = settings.signing_key
    assert path

    def load() -> Any:
        from model_signing import signing

        # The library says str, and hands it on to cryptography, which takes bytes only (1.1.1).
        password: Any = _password(settings)
        return signing.Config().use_elliptic_key_signer(private_key=path, password=password)

    return _loaded("TUNEGATE_SIGNING_KEY", path, f"private key; {MAKE_KEY}", load)


def _verifier(public_key: Path) -> Any:
    def load() -> Any:
        from model_signing import verifying

        return verifying.Config().use_elliptic_key_verifier(public_key=public_key)

    return _loaded("TUNEGATE_PUBLIC_KEY", public_key, f"public key; {MAKE_PUBLIC}", load)


def _loaded(variable: str, path: Path, expected: str, load: Callable[[], Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    # A key of another kind has no curve, and a missing or surplus password is a TypeError.
    except (OSError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UsageError(
            f"{variable} is {path}, which cannot be used: {reason}. Expected an elliptic-curve {expected}."
        ) from None


def _public_half(settings: Settings) -> bytes:
    from cryptography.hazmat.primitives import serialization

    assert settings.signing_key
    private = serialization.load_pem_private_key(settings.signing_key.read_bytes(), _password(settings))
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _password(settings: Settings) -> bytes | None:
    secret = settings.signing_key_password
    return secret.get_secret_value().encode() if secret else None
