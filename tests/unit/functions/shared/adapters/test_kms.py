from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from functions.shared.adapters.kms import KmsCardCipher, KmsMac
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, PaymentError
from tests.mocked_aws import MockedAws
from tests.samples import PAN


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("KMSInternalException", KeyServiceUnavailable),
        ("ThrottlingException", KeyServiceUnavailable),
        ("DependencyTimeoutException", KeyServiceUnavailable),
        ("KeyUnavailableException", KeyServiceUnavailable),
        ("AccessDeniedException", KeyUnusable),
        ("DisabledException", KeyUnusable),
        ("KMSInvalidStateException", KeyUnusable),
        ("InvalidCiphertextException", KeyUnusable),
        ("NotFoundException", KeyUnusable),
    ],
)
def test_what_passes_is_told_from_what_stays_and_kms_own_text_is_left_behind(
    aws: MockedAws, code: str, error: type[PaymentError]
) -> None:
    assert_calls_end_in(aws, ClientError({"Error": {"Code": code, "Message": PAN}}, "Encrypt"), error, f"KMS: {code}")


def test_a_key_service_that_does_not_answer_is_unavailable(aws: MockedAws) -> None:
    down = EndpointConnectionError(endpoint_url="https://kms")
    assert_calls_end_in(aws, down, KeyServiceUnavailable, "KMS: EndpointConnectionError")


def assert_calls_end_in(aws: MockedAws, cause: Exception, error: type[PaymentError], text: str) -> None:
    def fail(**_: object) -> None:
        raise cause

    cipher, mac = KmsCardCipher(aws.kms, aws.card_key_id), KmsMac(aws.kms, aws.token_key_id)
    aws.kms.meta.events.register("before-call.kms", fail)
    try:
        calls: list[Callable[[], object]] = [
            lambda: cipher.encrypt(PAN.encode(), {"token": "t"}),
            lambda: cipher.decrypt(b"x", {"token": "t"}),
            lambda: mac.mac(PAN.encode()),
        ]
        for call in calls:
            with pytest.raises(error) as failed:
                call()
            assert str(failed.value) == text
    finally:
        aws.kms.meta.events.unregister("before-call.kms", fail)


def test_a_key_that_does_not_exist_is_unusable(aws: MockedAws) -> None:
    with pytest.raises(KeyUnusable):
        KmsCardCipher(aws.kms, "00000000-0000-0000-0000-000000000000").encrypt(b"x", {"token": "t"})


def test_a_mac_by_a_key_of_another_kind_is_refused(aws: MockedAws) -> None:
    with pytest.raises(KeyUnusable):
        KmsMac(aws.kms, aws.card_key_id).mac(b"x")
