"""Card encryption, card tokens and the ledger's seals with AWS KMS. No key ever enters a function's memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient

# The errors that the KMS API reference describes with "You can retry the request", and throttling.
_TRANSIENT = {
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "Throttling",
    "ThrottlingException",
}


@contextmanager
def kms_errors() -> Iterator[None]:
    """Translate KMS's errors into ours. Only AWS's error code is kept, as the message may quote the request."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise (KeyServiceUnavailable if code in _TRANSIENT else KeyUnusable)(f"KMS: {code}") from None
    except BotoCoreError as error:
        raise KeyServiceUnavailable(f"KMS: {type(error).__name__}") from None


class KmsCardCipher:
    """`CardCipher` with a symmetric KMS key; the ciphertext is KMS's `CiphertextBlob`."""

    def __init__(self, client: "KMSClient", key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def encrypt(self, plaintext: bytes, context: dict[str, str]) -> bytes:
        with kms_errors():
            answer = self._client.encrypt(KeyId=self._key_id, Plaintext=plaintext, EncryptionContext=context)
        return answer["CiphertextBlob"]

    def decrypt(self, ciphertext: bytes, context: dict[str, str]) -> bytes:
        with kms_errors():
            answer = self._client.decrypt(KeyId=self._key_id, CiphertextBlob=ciphertext, EncryptionContext=context)
        return answer["Plaintext"]


class KmsMac:
    """`Mac` with an HMAC_256 KMS key (for cards, see PCI DSS v4.0.1, 3.5.1.1, keyed cryptographic hashes)."""

    def __init__(self, client: "KMSClient", key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def mac(self, message: bytes) -> bytes:
        with kms_errors():
            answer = self._client.generate_mac(KeyId=self._key_id, Message=message, MacAlgorithm="HMAC_SHA_256")
        return answer["Mac"]

    def verify(self, message: bytes, mac: bytes) -> bool:
        """Whether the MAC belongs to this message. Verifying needs another permission than making a MAC."""
        with kms_errors():
            try:
                self._client.verify_mac(KeyId=self._key_id, Message=message, Mac=mac, MacAlgorithm="HMAC_SHA_256")
            except self._client.exceptions.KMSInvalidMacException:
                return False
        return True
