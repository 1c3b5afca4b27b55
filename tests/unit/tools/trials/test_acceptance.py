"""What `make acceptance` refuses before it creates anything, and how it runs, records and reports its steps."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import pytest
from rich.console import Console

from tests.aws_facts import facts
from tools.deployment.stack import StackError
from tools.deployment.terraform import Terraform
from tools.trials.acceptance import deployment
from tools.trials.acceptance.deployment import (
    Deployment,
    budget_problems,
    chosen_gateway,
    confirm,
    estimated_usd,
    variables_of,
)
from tools.trials.acceptance.hostile import Outcome as HostileOutcome
from tools.trials.acceptance.hostile import Row
from tools.trials.acceptance.openapi import EXAMPLES, OPERATIONS, examples
from tools.trials.acceptance.recorder import Recorder
from tools.trials.acceptance.run import Answer, Run, Skipped, Step, Unexpected
from tools.trials.acceptance.runner import GROUPS, STEPS, Outcome, run_steps, write_json, write_junit
from tools.trials.acceptance.steps.examples import compare, documented, example_bodies

QUIET = Console(file=io.StringIO())
ACCOUNT = "444455556666"
BUDGET: dict[str, Any] = {
    "BudgetType": "COST",
    "TimeUnit": "MONTHLY",
    "BudgetLimit": {"Amount": "50", "Unit": "USD"},
    "CalculatedSpend": {"ActualSpend": {"Amount": "20", "Unit": "USD"}},
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    session = boto3.Session("AKIAXXXXXXXXXXXXXXXX", "secret", region_name="eu-west-1")  # pragma: allowlist secret
    return Run("dev", Recorder(tmp_path / "answers"), session)


class TestTheGuard:
    @pytest.mark.parametrize(
        ("base", "why"), [("prod", "production by its name"), ("nowhere", "There is no environment nowhere")]
    )
    def test_production_and_what_is_not_there_are_refused(self, base: str, why: str) -> None:
        with pytest.raises(StackError, match=why):
            variables_of(base, QUIET)

    def test_an_environment_that_protects_its_data_is_refused(self) -> None:
        with pytest.raises(StackError, match="deletion_protection = false"):
            deployment.refuse_production("dev", {"environment": "dev", "deletion_protection": True})

    def test_the_variables_of_another_are_read(self) -> None:
        variables = variables_of("dev", QUIET)
        assert (variables["name"], variables["environment"]) == ("payments", "dev")
        assert (variables["deletion_protection"], variables["known_keys"]) == (False, [])
        assert variables["gateway_urls"] == {"sparkle": "https://sandbox.sparkle.example"}

    def test_one_gateway_takes_all_payments(self) -> None:
        single, several = ({"gateway_urls": dict.fromkeys(names, "https://…")} for names in (["a"], ["b", "a"]))
        assert (chosen_gateway(single, None), chosen_gateway(several, "b")) == ("a", "b")
        for variables, name in ((several, None), (single, "b")):
            with pytest.raises(StackError, match="Choose one of the environment's gateways with GATEWAY="):
                chosen_gateway(variables, name)

    def test_a_yes_is_to_an_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        confirm("dev", ACCOUNT, ACCOUNT, QUIET)
        with pytest.raises(StackError, match="names another account"):
            confirm("dev", ACCOUNT, "1", QUIET)
        monkeypatch.setattr("sys.stdin", io.StringIO("dev\n"))
        with pytest.raises(StackError, match=f"YES={ACCOUNT}"):
            confirm("dev", ACCOUNT, None, QUIET)

    @pytest.mark.parametrize(("typed", "is_yes"), [("dev", True), ("yes", False), ("", False)])
    def test_a_person_types_the_environments_name(
        self, monkeypatch: pytest.MonkeyPatch, typed: str, is_yes: bool
    ) -> None:
        terminal = io.StringIO(f"{typed}\n")
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        if is_yes:
            confirm("dev", ACCOUNT, None, QUIET)
            return
        with pytest.raises(StackError, match="Nothing was done"):
            confirm("dev", ACCOUNT, None, QUIET)

    def test_a_run_costs_less_than_a_dollar_and_more_than_nothing(self) -> None:
        assert 0.05 < estimated_usd() < 1

    @pytest.mark.parametrize(
        ("changes", "flaw"),
        [
            ({"BudgetType": "USAGE"}, "it is not about cost"),
            ({"CostFilters": {"Service": ["Amazon EC2"]}}, "it leaves some of the costs out"),
            ({"FilterExpression": {"Not": {}}}, "it leaves some of the costs out"),
            ({"TimeUnit": "ANNUALLY"}, "it is neither daily nor monthly"),
            ({"TimePeriod": {"End": datetime.now(UTC) - timedelta(1)}}, "its time is over"),
            ({"BudgetLimit": {"Amount": "20.5", "Unit": "USD"}}, "it has less left than $1.00"),
        ],
    )
    def test_a_budget_that_would_not_notice_is_no_guard(self, changes: dict[str, Any], flaw: str) -> None:
        assert list(budget_problems(BUDGET, 1.0)) == []
        assert list(budget_problems(BUDGET | changes, 1.0)) == [flaw]

    def test_the_permission_to_see_budgets_is_the_one_that_aws_names(self) -> None:
        assert {
            facts("budgets")["actions"][name]
            for name in ("DescribeBudgets", "DescribeNotificationsForBudget", "DescribeSubscribersForNotification")
        } == {deployment.READ_BUDGETS}

    def test_an_environment_is_files_that_every_command_knows(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "dev.tfvars").write_text('environment = "dev"\n')
        monkeypatch.setattr(deployment, "ENVIRONMENTS", tmp_path)
        created = Deployment("dev", "accept1", {"environment": "accept1"}, {}, "sparkle", None, Terraform, QUIET)
        assert not created.is_written
        created.write(log_level="WARNING")
        assert created.is_written
        assert (tmp_path / "accept1.tfvars").read_text() == (tmp_path / "dev.tfvars").read_text()
        written = json.loads((tmp_path / "accept1.acceptance.tfvars.json").read_text())
        assert written == {"environment": "accept1", "log_level": "WARNING"}


class TestAsking:
    def step(self, name: str, error: BaseException | None = None, *, always: bool = False) -> Step:
        def check(_: Run) -> None:
            if error:
                raise error

        return Step("group", name, check, always)

    def test_what_fails_stops_nothing_and_is_reported(self, run: Run) -> None:
        console = Console(file=io.StringIO())
        steps = [
            self.step("wrong", Unexpected("it is 1, not 2")),
            self.step("broken", KeyError("x")),
            self.step("elsewhere", Skipped("There is none.")),
            self.step("right"),
        ]
        results = run_steps(run, steps, console)
        assert [(result.name, str(result.outcome), result.why) for result in results] == [
            ("wrong", "failed", "Unexpected: it is 1, not 2"),
            ("broken", "failed", "KeyError: 'x'"),
            ("elsewhere", "skipped", "There is none."),
            ("right", "passed", ""),
        ]
        assert "it is 1, not 2" in console.file.getvalue()  # type: ignore[attr-defined]

    def test_after_an_interruption_what_was_made_is_destroyed_all_the_same(self, run: Run) -> None:
        steps = [self.step("long", KeyboardInterrupt()), self.step("next"), self.step("destroy", always=True)]
        outcomes = [result.outcome for result in run_steps(run, steps, QUIET)]
        assert outcomes == [Outcome.FAILED, Outcome.SKIPPED, Outcome.PASSED]

    def test_what_destroys_is_last_and_is_always_done(self) -> None:
        assert [step.group for step in STEPS if step.always] == ["destroy"]
        assert STEPS[-1].always
        assert GROUPS[0] == "deployment"
        assert len({(step.group, step.name) for step in STEPS}) == len(STEPS)

    def test_the_reports_have_every_step_and_no_secret(self, run: Run, tmp_path: Path) -> None:
        run.recorder.hide("hush", "<secret>")
        steps = [self.step("a", Unexpected("hush <&>")), self.step("b"), self.step("c", Skipped("Why not."))]
        results = run_steps(run, steps, QUIET)
        write_json(run, results, tmp_path / "summary.json")
        write_junit(results, tmp_path / "summary.xml")
        report = json.loads((tmp_path / "summary.json").read_text())
        assert report["counts"] == {"passed": 1, "failed": 1, "skipped": 1}
        assert [step["outcome"] for step in report["steps"]] == ["failed", "passed", "skipped"]
        suite = ElementTree.parse(tmp_path / "summary.xml").getroot()  # noqa: S314
        assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
            "tests": "3",
            "failures": "1",
            "skipped": "1",
        }
        assert [case[0].tag if len(case) else None for case in suite] == ["failure", None, "skipped"]
        assert suite[0][0].get("message") == "Unexpected: <secret> <&>"

    def test_without_a_deployment_what_needs_one_is_not_asked(self, run: Run) -> None:
        for step in STEPS:
            if step.group not in ("deployment", "destroy", "roll-out"):
                with pytest.raises(Skipped):
                    step.check(run)


class TestRecorder:
    def saved_text(self, recorder: Recorder, **response: Any) -> str:
        request = {"method": "GET", "headers": {"Authorization": "AWS4-HMAC-SHA256 …", "x-amz-security-token": "t"}}
        return recorder.save("GET/keys?x=1", request, {"status": 200, "headers": {}, **response}).read_text()

    @pytest.mark.parametrize(
        "body",
        [
            '{"Credentials": {"SecretAccessKey": "hush/hush+", "SessionToken": "hush=="}}',  # pragma: allowlist secret
            "<Credentials><SecretAccessKey>hush/hush+</SecretAccessKey></Credentials>",
            '{"SecretString":"hush"}',  # pragma: allowlist secret
            "?X-Amz-Signature=" + b"hush".hex() * 8,
            "AKIAHUSHHUSHHUSHHUSH",  # pragma: allowlist secret
            "hush@example.org",
            "known hush",
        ],
    )
    def test_secrets_are_taken_out_wherever_they_are(self, tmp_path: Path, body: str) -> None:
        recorder = Recorder(tmp_path)
        recorder.hide("known hush", "<secret>")
        text = self.saved_text(recorder, body=body)
        assert "hush" not in text.lower()
        assert b"hush".hex() * 8 not in text
        assert json.loads(text)["response"]["status"] == 200

    def test_what_signs_a_request_is_left_out(self, tmp_path: Path) -> None:
        assert json.loads(self.saved_text(Recorder(tmp_path), body=""))["request"] == {"method": "GET", "headers": {}}

    def test_files_are_named_by_step_number_and_title(self, tmp_path: Path) -> None:
        recorder = Recorder(tmp_path)
        recorder.step = "payments/a card, über HTTP/2"
        self.saved_text(recorder, body="")
        file = recorder.save("../../etc/passwd", {}, {})
        assert file.relative_to(tmp_path).as_posix() == "payments-a-card-ber-HTTP-2/0002-..-..-etc-passwd.json"


class TestExamples:
    ROUTE = ("POST", "/payments")

    def answer(self, body: Any, *, status: int = 202, location: str | None = "/payments/x") -> Answer:
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        headers |= {"location": location} if location else {}
        return Answer({"method": "POST", "path": "/payments"}, "HTTP/1.1", status, headers, json.dumps(body))

    def body(self, **changes: Any) -> dict[str, Any]:
        payment_id = "x" * 32
        return {
            "payment_id": payment_id,
            "status": "processing",
            "links": {"self": f"/payments/{payment_id}"},
        } | changes

    def complaint(self, answer: Answer) -> str:
        example = example_bodies(self.ROUTE, 202)[0]
        with pytest.raises(Unexpected) as complaint:
            compare(answer, documented(self.ROUTE, 202), 202, example)
        return str(complaint.value)

    def test_an_answer_like_its_example_passes(self) -> None:
        body = self.body()
        answer = self.answer(body, location=body["links"]["self"])
        compare(answer, documented(self.ROUTE, 202), 202, example_bodies(self.ROUTE, 202)[0])

    def test_every_difference_is_found(self) -> None:
        assert "the status is 200, not 202" in self.complaint(self.answer(self.body(), status=200))
        assert "has no header Location" in self.complaint(self.answer(self.body(), location=None))
        assert "the body is" in self.complaint(self.answer(self.body(status="done")))
        assert "the body is" in self.complaint(self.answer(self.body(more=1)))
        assert "does not fit the schema" in self.complaint(self.answer(self.body(payment_id="short")))
        assert "Location is" in self.complaint(self.answer(self.body(), location="/elsewhere"))

    def test_true_is_not_one(self) -> None:
        captured = EXAMPLES["Captured"]
        route = ("GET", "/payments/{payment_id}")
        answer = self.answer(captured | {"refunded_minor": False}, status=200, location=None)
        with pytest.raises(Unexpected, match="the body is"):
            compare(answer, documented(route, 200), 200, captured)

    def test_every_answer_that_is_described_is_asked_for_or_says_why_not(self) -> None:
        named = {step.name for step in STEPS if step.group == "examples"}
        refusals = {
            f"{' '.join(route)}: {status} {name}"
            for route, operation in OPERATIONS.items()
            for status, response in operation["responses"].items()
            for content in response.get("content", {}).values()
            for name in examples(content)
            if status >= "400"
        }
        assert refusals <= named


class TestBadInput:
    ERROR = '{"error": {"code": "invalid_request", "message": "Missing card data."}}'

    @pytest.mark.parametrize(
        ("outcome", "complaint"),
        [
            (HostileOutcome(400, {}, ERROR), None),
            (HostileOutcome(500, {}, ERROR), "the status is 500"),
            (HostileOutcome(400, {}, "<html/>"), "no error of ours"),
            (HostileOutcome(400, {}, ERROR.replace("invalid", "other")), "not invalid_request"),
            (HostileOutcome(400, {}, ERROR.replace("data.", "data 4242.")), "repeats what was sent"),
            (HostileOutcome(400, {}, ERROR.replace("Missing", "No")), "does not begin"),
            (HostileOutcome(400, {}, ERROR, {"status": "captured", "error": None}), "it ended as captured"),
        ],
    )
    def test_what_is_not_as_its_row_says_is_found(self, outcome: HostileOutcome, complaint: str | None) -> None:
        differences = outcome.differences(Row("a row", {}))
        assert complaint in differences[0] if complaint else differences == []
