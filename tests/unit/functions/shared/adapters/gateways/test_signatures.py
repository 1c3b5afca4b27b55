import pytest

from functions.shared.adapters.gateways.signatures import is_signed, signature
from tests.samples import NOW

BODY = b'{"id": "ev_1"}'
SECRETS = ["the-new-one", "the-old-one"]
SIGNED_AT = 1795424401
"""The time of NOW."""


def header(secret: str = "the-new-one", at: int = SIGNED_AT, body: bytes = BODY) -> str:
    return f"t={at},v1={signature(secret, str(at), body)}"


def test_the_signature_is_the_one_of_the_scheme() -> None:
    # printf '1795424401.{"id": "ev_1"}' | openssl dgst -sha256 -hmac the-new-one
    expected = "7930ae97e3c600aa347fb19bee938be6fc5a55f2b5d05093822f3be074c03084"  # pragma: allowlist secret
    assert signature("the-new-one", str(SIGNED_AT), BODY) == expected


@pytest.mark.parametrize(
    "accepted",
    [
        header(),
        header("the-old-one"),
        header(at=SIGNED_AT - 300),
        header(at=SIGNED_AT + 300),
        header() + ",v0=abc",
        header().replace(",", ", "),
        f"{header('someone-elses')},v1={signature('the-old-one', str(SIGNED_AT), BODY)}",
    ],
)
def test_every_secret_in_use_signs_within_five_minutes(accepted: str) -> None:
    assert is_signed(accepted, BODY, SECRETS, NOW)


@pytest.mark.parametrize(
    "refused",
    [
        "",
        "t=,v1=",
        f"t={SIGNED_AT}",
        f"t={SIGNED_AT},v1=",
        f"v1={signature('the-new-one', str(SIGNED_AT), BODY)}",
        header("someone-elses"),
        header(""),
        header(body=BODY + b" "),
        header(at=SIGNED_AT - 301),
        header(at=SIGNED_AT + 301),
        header().replace("v1", "v0"),
        header().replace(f"t={SIGNED_AT}", f"t={SIGNED_AT - 1}"),
        header().replace(f"t={SIGNED_AT}", f"t={SIGNED_AT},t={SIGNED_AT - 1}"),
        header().replace(f"t={SIGNED_AT}", f"t={SIGNED_AT}x"),
        "t=\u0661,v1=\u00e9",
    ],
)
def test_all_else_is_refused(refused: str) -> None:
    assert not is_signed(refused, BODY, [*SECRETS, ""], NOW)


def test_nothing_is_signed_where_there_is_no_secret() -> None:
    assert not is_signed(header(), BODY, [], NOW)
