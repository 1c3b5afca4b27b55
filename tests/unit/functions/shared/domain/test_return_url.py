import pytest

from functions.shared.domain.return_url import is_allowed

SHOP = ["https://shop.example"]


@pytest.mark.parametrize(
    "url", ["https://shop.example", "https://shop.example/back?order=1#top", "https://SHOP.example:443/back"]
)
def test_an_address_of_an_origin_is_allowed(url: str) -> None:
    assert is_allowed(url, SHOP)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/back",
        "https://shop.example:8443/back",
        "https://shop.example.evil.example/back",
        "https://evil.example/https://shop.example",
        "https://shop.example@evil.example/back",
        "https://user@shop.example/back",
        "https://shop.example:x/back",
        "javascript:alert(1)",
        "//shop.example/back",
        "",
    ],
)
def test_any_other_address_is_not(url: str) -> None:
    assert not is_allowed(url, SHOP)


def test_without_origins_no_address_is_allowed() -> None:
    assert not is_allowed("https://shop.example", [])


def test_on_this_machine_an_origin_without_a_port_stands_for_every_port() -> None:
    assert is_allowed("http://127.0.0.1:5173/back", ["http://127.0.0.1"])
    assert not is_allowed("http://127.0.0.1:5173/back", ["http://127.0.0.1:8000"])
    assert not is_allowed("http://localhost:5173/back", ["http://127.0.0.1"])


def test_elsewhere_plain_http_is_not_allowed_even_if_somebody_listed_it() -> None:
    assert not is_allowed("http://shop.example/back", ["http://shop.example"])
