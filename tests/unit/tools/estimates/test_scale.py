"""A smaller run of `make scale` with the same skew."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console
from typer.testing import CliRunner

from functions.shared.adapters.table import keys as table_keys
from tests.aws_facts import facts
from tools.cli.__main__ import app
from tools.deployment.paths import ROOT
from tools.estimates import footprint, scale
from tools.estimates.footprint import captured_writes
from tools.estimates.scale import MAX_SHARE_OF_WRITES, KeyLoad, simulate

PAYMENTS = 100_000
DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def fewer_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use fewer cards, so the busiest has an even larger share: 8 % of the payments."""
    monkeypatch.setattr(scale, "CARDS", 200_000)


def by_kind(keys: list[KeyLoad]) -> dict[str, KeyLoad]:
    return {each.kind: each for each in keys}


def test_no_key_takes_more_than_a_hundredth_of_the_writes_of_its_table_or_index() -> None:
    for keys in simulate(PAYMENTS):
        assert keys.share <= MAX_SHARE_OF_WRITES, keys.kind


def test_the_busiest_card_is_busier_than_any_card_is() -> None:
    cards = by_kind(simulate(PAYMENTS))["CARD#{token}"]
    first, second = (share for _, share in cards.curve[:2])
    assert first / second == pytest.approx(2, rel=0.1)  # Zipf's law
    assert first * cards.count > 50  # times as busy as the average card


def test_a_few_shards_are_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_keys, "DOUBT_SHARDS", 64)
    monkeypatch.setattr(table_keys, "ACCOUNT_SHARDS", 32)
    keys = by_kind(simulate(PAYMENTS))
    assert keys["in_doubt#{shard}"].share > MAX_SHARE_OF_WRITES
    assert keys["{account}#{day}#{shard}"].share > MAX_SHARE_OF_WRITES


def test_a_bucket_that_knew_all_of_a_cards_payments_would_be_too_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "MAX_REMEMBERED_PAYMENTS", PAYMENTS)
    monkeypatch.setattr(scale, "velocity_units", lambda before: 1 + 8 * before // 1024)
    assert by_kind(simulate(PAYMENTS))["VELOCITY#{fingerprint}"].share > MAX_SHARE_OF_WRITES


@pytest.mark.parametrize("name", scale._PAYMENT_ID_STYLES)
def test_the_shards_are_even_however_a_merchant_names_its_payments(
    name: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "_PAYMENT_ID_STYLES", [name])
    keys = by_kind(simulate(PAYMENTS))
    assert keys["in_doubt#{shard}"].share <= MAX_SHARE_OF_WRITES
    assert keys["{account}#{day}#{shard}"].share <= MAX_SHARE_OF_WRITES


def test_the_keys_are_those_that_the_ledger_writes() -> None:
    posting = next(write for write in captured_writes() if write.account_day)
    payment_id = posting.pk.removeprefix("PAYMENT#")
    assert posting.account_day == table_keys.account_day(
        f"asset:gateway:{footprint.GATEWAY}", "2026-11-23", table_keys.shard_of(payment_id, table_keys.ACCOUNT_SHARDS)
    )


def test_the_document_says_what_a_payment_takes() -> None:
    writes = captured_writes()
    calls = footprint.calls(1)
    symmetric = calls["kms:GenerateMac"] + calls["kms:Encrypt"] + calls["kms:Decrypt"]
    runs = [*footprint.runs(), "status"]
    # A payment's id alone is a key of the table `ephemeral`.
    ephemeral = [write for write in writes if "#" not in write.pk]
    running = sum(footprint.MILLISECONDS[run] for run in runs) + footprint.milliseconds()
    takes = {
        "API requests": 3,
        "DescribeExecution, one payment in twenty rejected or slow": footprint.wait_calls(3)["states:DescribeExecution"]
        / 20,
        "state transitions": len(footprint.happy_path()),
        "KMS, RSA": calls["kms:Decrypt RSA"],
        "KMS, symmetric and HMAC": symmetric,
        "Lambda, concurrent": running / 1000,
        "table, write units": sum(write.units for write in writes if write not in ephemeral),
        "table `ephemeral`, write units": sum(write.units for write in ephemeral),
        "index `by_account`, write units": sum(write.index_units.get("by_account", 0) for write in writes),
        "index `by_day`, write units": sum(write.index_units.get("by_day", 0) for write in writes),
        "index `by_reference`, write units": sum(write.index_units.get("by_reference", 0) for write in writes),
        "index `by_writing`, write units": sum(write.index_units.get("by_writing", 0) for write in writes),
        "log, MB": footprint.logged_bytes(1).total() / 1e6,
    }
    rows = {cells[0]: cells[1:] for cells in map(_cells, (DOCS / "scale.md").read_text().splitlines()) if cells}
    documented = facts("step_functions_quotas")
    quotas = {
        "StartExecution": documented["StartExecution"]["per_second"],
        "DescribeExecution, one payment in twenty rejected or slow": documented["DescribeExecution"]["per_second"],
        "state transitions": documented["StateTransition"]["per_second"],
        "KMS, RSA": documented["kms_rsa"]["per_second"],
        "Lambda, concurrent": documented["lambda_concurrent"],
    }
    assert {name: float(rows[name][0]) for name in quotas} == quotas
    for name, units in takes.items():
        stated = [float(cell) for cell in rows[name][1:]]
        assert stated == pytest.approx([10 * units, 1000 * units, 10_000 * units], rel=0.1), name


def _cells(line: str) -> list[str]:
    """The cells of a table's row, without bold markers and the commas in numbers."""
    return (
        [re.sub(r"\*\*|(?<=\d),(?=\d)", "", cell).strip() for cell in line.strip("|").split("|")] if "|" in line else []
    )


def test_the_picture_shows_every_kind_of_key_and_the_run_fails_above_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=(tmp_path / "output").open("w"), width=200)
    result = scale.scale(PAYMENTS, 10_000, 0.5, tmp_path, console)
    assert result["within_limit"] is True
    assert json.loads((tmp_path / "scale.json").read_text()) == json.loads(json.dumps(result))
    picture = ElementTree.parse(tmp_path / "hottest-keys.svg")  # noqa: S314
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    for kind in ("CARD#{token}", "VELOCITY#{fingerprint}", "{account}#{day}#{shard}", "in_doubt#{shard}"):
        assert kind in texts
    monkeypatch.setattr(scale, "MAX_SHARE_OF_WRITES", 0.005)
    assert scale.scale(PAYMENTS, 10_000, 0.5, tmp_path, console)["within_limit"] is False


def test_the_command_prints_the_result_in_json_and_fails_above_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.cli.estimates.BUILD", tmp_path)
    monkeypatch.setattr(scale, "MAX_SHARE_OF_WRITES", 0.005)
    run = CliRunner().invoke(app, ["scale", "1000", "--json"])
    assert (run.exit_code, json.loads(run.stdout)["within_limit"]) == (1, False)
    assert "The hottest keys of 1,000 payments" in run.stderr
