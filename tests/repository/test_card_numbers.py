"""The repository holds no card numbers but published test numbers."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import pytest

from functions.shared.domain.card_number import brand_of, passes_luhn
from tests.samples import TEST_CARDS
from tools.deployment.paths import ROOT

PUBLISHED = {
    "4000056655665556": "Stripe, https://docs.stripe.com/testing: Visa (debit)",
    "5200828282828210": "Stripe, the same page: Mastercard (debit)",
    "2223003122003222": "Stripe, the same page: Mastercard (2-series)",
    "6205500000000000004": "Stripe, the same page: UnionPay (19 digits)",
    "4000000000000127": "Stripe, the same page: declined, incorrect_cvc",
    "4000000000006975": "Stripe, the same page: declined, velocity limit",
    "4000000000000341": "Stripe, the same page: declined after attaching",
    "4000000000007726": "Stripe, the same page: a refund that begins as pending",
    "4000002760003184": "Stripe, the same page: always 3D Secure",
    "4000000000003055": "Stripe, the same page: 3D Secure if requested",
    "4000008400001629": "Stripe, the same page: 3D Secure required, then declined",
    "501800000009": "PawelDecowski/jquery-creditcardvalidator, its demo: Maestro (12 digits)",
}
"""Test numbers that are not on our list, and the publisher of each."""


def card_numbers(text: str) -> Iterator[tuple[int, str]]:
    """Yield possible card numbers with their lines: 12 to 19 digits, perhaps with single spaces or dashes in between,
    that pass Luhn and begin like a brand's numbers.
    """
    for line, content in enumerate(text.splitlines(), start=1):
        # Lock files consist of hashes, and one hash in a few hundred has such a run of digits.
        for run in re.findall(r"\d+(?:[ -]\d+)*", re.sub(r"\bsha256:[0-9a-f]{64}\b", "", content)):
            groups = re.split("[ -]", run)
            for start, end in combinations(range(len(groups) + 1), 2):
                number = "".join(groups[start:end])
                if 12 <= len(number) <= 19 and passes_luhn(number) and brand_of(number):
                    yield line, number


def repository_files() -> Iterator[Path]:
    """Every tracked file, and every file that the next `git add` would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    yield from (path for name in names if (path := ROOT / name).is_file())


def unpublished(files: Iterable[Path]) -> list[str]:
    """The places of card numbers that are no published test numbers: `file:line`, without the number."""
    return [
        f"{path}:{line}"
        for path in files
        for line, number in card_numbers(path.read_text(errors="replace"))
        if number not in TEST_CARDS and number not in PUBLISHED
    ]


def test_every_card_number_in_the_repository_is_a_published_test_number() -> None:
    files = list(repository_files())
    assert Path(__file__) in files
    assert unpublished(files) == []


def planted(groups: str) -> str:
    """A number that passes Luhn and is no test card. It is generated, since no file may contain one."""
    return next(number for digit in "0123456789" if passes_luhn(re.sub("[ -]", "", number := groups + digit)))


def test_a_file_with_another_number_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text(f"{next(iter(PUBLISHED))}\n\n{planted('400005665566123')}\n")
    assert unpublished([file]) == [f"{file}:3"]


@pytest.mark.parametrize(
    "text",
    [
        planted("400005665566123"),
        planted("4000 0566 5566 123"),
        planted("5412-7512-3412-345"),
        planted("3714 496353 9876"),
        f"pan={planted('400005665566123')}&cvc=1",
        f"x{planted('400005665566123')}x",
        f"12 {planted('4000 0566 5566 123')} 12",
        planted("67591234567"),
        planted("621234567890123456"),
    ],
)
def test_a_planted_number_is_found(text: str) -> None:
    assert [line for line, _ in card_numbers(f"first line\n{text}\n")] == [2]


@pytest.mark.parametrize(
    "text",
    [
        f"1{planted('400005665566123')}12345",  # 22 digits
        "4000056655661234",  # Luhn says no
        planted("993957876362123"),  # nobody's prefix
        f"boto3==1 --hash=sha256:{planted('400005665566123'):a<64}",
    ],
)
def test_other_numbers_are_not_reported(text: str) -> None:
    assert list(card_numbers(text)) == []
