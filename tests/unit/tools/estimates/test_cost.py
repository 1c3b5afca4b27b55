import json
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.aws_facts import facts
from tools.cli.__main__ import app
from tools.estimates import cost, footprint
from tools.estimates.cost import MILLION, Design, load_prices, other_designs, savings, show, this_design


def per_million(design: Design, *services: str) -> float:
    prices = load_prices()
    lines = [line for line in design.lines if not services or line.service in services]
    return MILLION * sum(line.units * prices[line.price].each for line in lines)


def test_every_price_says_where_it_is_from_and_how_sure_it_is() -> None:
    for name, price in load_prices().items():
        assert re.match(r"(Amazon|AWS) .+ pricing", price.page), name
        assert price.checked in ("page", "quoted", "known"), name
        assert re.fullmatch(r"20\d\d-\d\d", price.as_of), name
        assert price.usd >= 0, name
        assert price.per >= 1, name


def test_a_state_costs_twenty_five_dollars_per_million_payments() -> None:
    assert per_million(this_design(2, MILLION), "Step Functions") == pytest.approx(25 * len(footprint.happy_path()))


def test_a_wait_costs_a_request_its_time_and_its_reads_and_a_look_a_run_and_a_read() -> None:
    none, one, two = (this_design(reads, 100 * MILLION) for reads in (0, 1, 2))
    waited, looked = per_million(one) - per_million(none), per_million(two) - per_million(one)
    assert 3.5 + 0.2 < looked < waited
    for service in ("Lambda", "DynamoDB"):
        assert per_million(one, service) - per_million(none, service) > per_million(two, service) - per_million(
            one, service
        )
    assert per_million(one, "KMS") == per_million(none, "KMS")  # no execution's input is decrypted


def test_more_payments_cost_less_each_only_by_their_traces() -> None:
    few, many = this_design(2, 1000), this_design(2, 1000 * MILLION)
    assert per_million(few) - per_million(few, "X-Ray") == pytest.approx(per_million(many) - per_million(many, "X-Ray"))
    requests = footprint.requests(2)
    assert per_million(few, "X-Ray") == pytest.approx(requests * 5)  # each request is the only one in its second
    assert per_million(many, "X-Ray") == pytest.approx(requests * 5 / 20, rel=0.05)


def test_a_captured_payment_has_five_transitions_and_had_nine() -> None:
    now, (before, *_) = this_design(1, MILLION), other_designs(this_design(1, MILLION), 1)
    assert [per_million(design, "Step Functions") for design in (now, before)] == pytest.approx([125, 225])
    assert per_million(now) < 250
    assert per_million(before) - per_million(now) > 100


def test_a_single_use_key_costs_less_than_it_saves() -> None:
    now, (_, static, *_) = this_design(1, MILLION), other_designs(this_design(1, MILLION), 1)
    assert not any("rsa" in line.price for line in now.lines)
    # Two openings by an RSA key at $15, instead of an encryption and two decryptions at $3.
    assert per_million(static, "KMS") - per_million(now, "KMS") == pytest.approx(30 - 9)
    for service in ("API Gateway", "Lambda", "DynamoDB", "CloudWatch Logs"):
        assert per_million(static, service) < per_million(now, service)
    assert per_million(static) > per_million(now)


def test_other_ways_have_no_transitions_and_no_more_than_they_need() -> None:
    design = this_design(2, MILLION)
    _, _, express, one_function, saga = other_designs(design, 2)
    for other in (express, one_function, saga):
        assert not any(line.price == "transition" for line in other.lines)
        assert per_million(other) < per_million(design)
        assert other.lacks
    assert per_million(one_function, "KMS") == pytest.approx(per_million(design, "KMS") - 3)
    assert per_million(saga, "DynamoDB") > per_million(express, "DynamoDB") > per_million(design, "DynamoDB")


def test_a_gateway_s_event_costs_two_short_runs_and_no_transition() -> None:
    prices, lines = load_prices(), cost.gateway_event()
    by_price = {line.price: MILLION * line.units * prices[line.price].each for line in lines}
    assert {name: pytest.approx(by_price[name]) for name in ("api_request", "lambda_request", "queue_request")} == {
        "api_request": 3.5,
        "lambda_request": 0.4,
        "queue_request": 1.2,
    }
    assert "transition" not in by_price
    assert by_price["lambda_gb_second"] < 0.5


def test_a_payment_s_events_are_priced_by_themselves() -> None:
    prices, usd = load_prices(), dict[int, dict[str, float]]()
    for endpoints in (0, 1, 2):
        lines = cost.payment_events(1, MILLION, endpoints)
        usd[endpoints] = {line.price: MILLION * line.units * prices[line.price].each for line in lines}
    # Two events, each published at $1 and written twice over in a transaction; SQS takes four requests for a delivery.
    assert (usd[0]["custom_event"], usd[0]["write_unit"], usd[0]["lambda_request"]) == pytest.approx((2, 2.5, 0.4))
    assert (usd[0]["queue_request"], usd[1]["queue_request"]) == pytest.approx((0, 8 * 0.4))
    assert usd[1]["custom_event"] == usd[0]["custom_event"]
    for price, of_one in usd[1].items():
        assert usd[2][price] - of_one == pytest.approx(of_one - usd[0][price]), price
    assert sum(usd[1].values()) < 30
    assert not {"transition", "kms_request"} & usd[1].keys()


def test_a_webhook_costs_less_than_a_dollar_a_month() -> None:
    assert 0.5 < cost._total(cost.webhook_monthly_costs(), load_prices()) < 1


def test_every_metric_that_the_functions_count_is_billed() -> None:
    assert {"PaymentCaptured", "PaymentDeclined", "GatewayLatency", "OldestDoubtSeconds", "CardStored"} <= (
        cost._own_metrics()
    )
    assert {"EventsPublished", "EventsMissing", "WebhooksDelivered", "WebhooksFailed"} <= cost._own_metrics()


def test_snapshots_cost_what_awss_own_example_says() -> None:
    prices, example = load_prices(), facts("snap_start")["example"]
    kept = prices["snapshot_gb_second"].each * example["gb"] * example["seconds"]
    restored = prices["restored_gb"].each * example["gb"] * example["restores"]
    assert kept + restored == pytest.approx(example["usd"], abs=0.01)


def test_snapshots_of_all_functions_cost_more_than_all_else_without_payments() -> None:
    prices = load_prices()
    idle, busy = (cost._total(cost.snapshots(per_month, 2), prices) for per_month in (0, MILLION))
    assert idle > cost._total(cost.fixed_monthly_costs(), prices)
    assert busy - idle == pytest.approx(MILLION * 0.01 * 8 * 0.5 * prices["restored_gb"].each)


def test_what_could_be_saved_is_part_of_what_is_paid() -> None:
    design, prices = this_design(2, MILLION), load_prices()
    for saving in savings(design, 2, prices):
        assert 0 < saving.usd < per_million(design), saving.what
        assert saving.loses, saving.what


def test_the_tables_add_up_and_the_file_says_the_same(tmp_path: Path) -> None:
    output = StringIO()
    returned = show(500_000, 2, tmp_path / "cost.json", Console(file=output, width=200))
    content = json.loads((tmp_path / "cost.json").read_text())
    assert json.loads(json.dumps(returned)) == content
    standard = content["ways"][0]
    assert standard["usd_per_million"] == pytest.approx(per_million(this_design(2, 500_000)))
    assert f"{standard['usd_per_million']:,.2f}" in output.getvalue()
    assert f"{standard['usd_per_million'] / 2:,.2f}" in output.getvalue()
    assert f"{content['base']['usd_per_month']:,.2f}" in output.getvalue()
    assert f"{content['webhook']['usd_per_month']:,.2f}" in output.getvalue()
    for events in content["payment_events"].values():
        prices = load_prices()
        by_line = [MILLION * line["units"] * prices[line["price"]].each for line in events["lines"]]
        assert events["usd_per_million"] == pytest.approx(sum(by_line))
        assert f"{events['usd_per_million']:,.2f}" in output.getvalue()
    assert [design["name"] for design in content["ways"][1:]] == [
        "nine transitions, static key",
        "a static sealing key",
        "as Express",
        "one big function",
        "a saga in the table",
    ]


def test_the_command_prints_the_estimate_in_json_and_the_tables_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.cli.estimates.BUILD", tmp_path)
    run = CliRunner().invoke(app, ["cost", "500000", "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout) == json.loads((tmp_path / "cost.json").read_text())
    assert "By service" in run.stderr
