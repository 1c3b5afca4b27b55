"""Commands that try out a stack with events, past executions, a single function, or many payments."""

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from functions.screen.rules import RULES_FILE
from functions.shared.domain.shapes import canonical_id
from tools.cli.frame import JsonOption, StackOption, clear_errors, console, errors, prose_console
from tools.cli.payments import SecurityCodeOption, prompted_card
from tools.deployment.build import checked_rules
from tools.deployment.paths import STACK_FILE
from tools.deployment.stack import Stack, StackError, failed, new_payment_id
from tools.output import did_you_mean, exit_unless, print_json
from tools.times import parsed_time
from tools.trials.audit import audit as audit_payments
from tools.trials.audit import show
from tools.trials.events import FUNCTION_EVENTS, EventError, changed_files, event_files, load_api_events
from tools.trials.explain import Call, explain
from tools.trials.invoke import Invocations, function_names
from tools.trials.replay import replay_all
from tools.trials.replay_executions import (
    DEFAULT_CARD,
    DEFAULT_LIMIT,
    FinalStatus,
    executions_by_name,
    latest_executions,
    replay_executions,
)
from tools.trials.reports import report, report_of_executions, write_json, write_junit
from tools.trials.rules import load_samples, try_rules
from tools.trials.rules import show as show_tried
from tools.trials.soak import soak as soak_stack

app = typer.Typer()


def _iso_time(text: str) -> datetime:
    """A time without an offset is UTC."""
    try:
        return parsed_time(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is not an ISO 8601 time. Write it like 2026-01-31T12:00:00Z.") from None


@app.command()
def replay(
    events: Annotated[
        list[Path] | None, typer.Argument(help="Event files, folders or globs; default: events/api.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How many times to replay each event.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="How many replays run at a time.")] = 1,
    watch: Annotated[bool, typer.Option("--watch", help="Replay an event again when its file changes.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit XML report to this file.")] = None,
    json_file: Annotated[Path | None, typer.Option(help="Write a JSON report to this file.")] = None,
    as_json: JsonOption = False,
    execution: Annotated[
        list[str] | None,
        typer.Option(help="Replay past executions by ARN or payment id, separated by blanks. May be repeated."),
    ] = None,
    status: Annotated[
        FinalStatus | None, typer.Option(case_sensitive=False, help="Replay past executions with this outcome.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=_iso_time,
            metavar="TIME",
            help="Replay past executions that started at this time or later (ISO 8601).",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            parser=_iso_time, metavar="TIME", help="Replay past executions that started at this time or earlier."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Replay at most this many past executions, the newest.", show_default="20")
    ] = None,
    from_stack: Annotated[
        Path | None, typer.Option(help="The stack file of the stack that holds the past executions, if not --stack.")
    ] = None,
    card: Annotated[
        str, typer.Option(help="The published test card that replaces a sealed card or a token.")
    ] = DEFAULT_CARD,
    stack: StackOption = STACK_FILE,
) -> None:
    """Replay sample events, or past executions, and show the results."""
    filters = any((status, since, until, limit))
    if execution and filters:
        raise typer.BadParameter(
            "Choose past executions either by --execution or by --status, --since, --until and --limit."
        )
    past_executions = execution or filters or from_stack
    if past_executions and (events or repeat > 1 or watch or junit or json_file):
        raise typer.BadParameter(
            "Past executions can't be combined with events, --repeat, --watch, --junit or --json-file."
        )
    with clear_errors():
        if not past_executions:
            event_files(events or [])  # reports a typo before anything is read
        target = Stack.load(stack)
        target.call("GET", "/keys")  # fails early if the stack doesn't answer
        if past_executions:
            source = Stack.load(from_stack) if from_stack else target
            prose = prose_console(as_json)
            with prose.status("Reading past executions"):
                executions = (
                    executions_by_name(source, [name for names in execution for name in names.split()])
                    if execution
                    else latest_executions(source, status, since, until, limit or DEFAULT_LIMIT)
                )
            replayed = replay_executions(target, executions, prose, card_number=card, concurrency=concurrency)
            if as_json:
                print_json(report_of_executions(replayed))
            if replayed.interrupted:
                raise KeyboardInterrupt
            exit_unless(all(each.has_ended for each in replayed))

        def as_expected(files: Iterable[Path]) -> bool:
            selected = load_api_events(files)
            replays = replay_all(target, selected, prose_console(as_json), repeat=repeat, concurrency=concurrency)
            if as_json:
                print_json(report(replays))
            if junit:
                write_junit(replays, junit)
            if json_file:
                write_json(replays, json_file)
            if replays.interrupted:
                raise KeyboardInterrupt
            return all(replayed.as_expected for replayed in replays)

        passed = as_expected(events or []) if not watch else _replay_on_change(events or [], as_expected)
    exit_unless(passed)


@app.command()
def invoke(
    function: Annotated[str, typer.Argument(help=f"{', '.join(function_names())}.")],
    event: Annotated[
        Path | None, typer.Argument(help="The event's file; default: events/functions/<function>.json.")
    ] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Run one function on one event, and print its answer. If the function leaves something open, such as a charge,
    the functions that complete it run too."""
    with clear_errors():
        if function not in function_names():
            raise EventError(f"There is no function {function}.{did_you_mean(function, function_names())}")
        file = event or FUNCTION_EVENTS / f"{function}.json"
        answers = Invocations(Stack.load(stack)).invoke_with_next(function, file)
    console.print_json(json.dumps(answers[function]))
    for next_function in list(answers)[1:]:
        what = "failed" if failed(answers[next_function]) else "ran"
        errors.print(f"{next_function} {what} afterwards, to complete what {function} began.", highlight=False)
    exit_unless(not failed(answers[function]))


@app.command()
def seal(
    payment_id: Annotated[
        str | None, typer.Option(help="The Idempotency-Key to seal the card for; default: a new one.")
    ] = None,
    security_code: SecurityCodeOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Seal a card for one payment. The command prompts for the card, which keeps it out of the shell history."""
    payment_id = payment_id or new_payment_id()
    with clear_errors():
        client = Stack.load(stack).payments_client()
        sealed = client.seal(prompted_card(security_code=security_code), payment_id)
    typer.echo(f"Send this card_data with the Idempotency-Key {payment_id}:", err=True)
    typer.echo(sealed)


@app.command("explain")
def explain_body(
    body: Annotated[Path | None, typer.Argument(help="The file with the body; default: standard input.")] = None,
    call: Annotated[Call, typer.Option(help="The API call that the body is for.")] = Call.PAYMENTS,
    as_json: JsonOption = False,
) -> None:
    """Check a request's body before it is sent: list the broken rules by field, without repeating any value."""
    try:
        broken_rules = explain(body.read_bytes() if body else sys.stdin.buffer.read(), call, datetime.now(UTC))
    except OSError as error:
        raise typer.BadParameter(f"{body}: {error.strerror}.") from None
    if as_json:
        print_json({"call": call, "broken_rules": broken_rules})
    else:
        typer.echo("\n".join(broken_rules or ["The body breaks no rule that can be checked before it is sent."]))
    exit_unless(not broken_rules)


@app.command()
def audit(
    payment: Annotated[list[str] | None, typer.Argument(help="Payment ids; default: all payments.")] = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Compare executions, ledger and the gateways' sandboxes, and show where they disagree."""
    with clear_errors(needs_checkout=True):
        target = Stack.load(stack)
        if not target.has_only_sandboxes:
            errors.print("This stack has a gateway that is no sandbox, so gateways are left out of the comparison.")
        audited = audit_payments(target, list(map(canonical_id, payment)) if payment else None)
        if unknown := [each.payment_id for each in audited.evidence.values() if each.is_unknown]:
            raise StackError(f"This stack has no payment {', '.join(unknown)}.")
    if as_json:
        print_json({"payments": len(audited.evidence), "findings": audited.findings})
    else:
        show(audited, console)
    exit_unless(not audited.findings)


@app.command()
def soak(
    count: Annotated[int, typer.Argument(min=1, help="How many payments to send.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The random seed; each seed gives other payments.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="How many payments run at a time.")] = 8,
    stack: StackOption = STACK_FILE,
) -> None:
    """Send many payments through the API, some of them with faults, then compare the sandboxes with the ledger."""
    with clear_errors():
        passed = soak_stack(Stack.load(stack), count=count, seed=seed, concurrency=concurrency, console=console)
    exit_unless(passed)


@app.command(name="rules-test")
def rules_test(
    rules: Annotated[
        Path, typer.Argument(show_default=False, help="The file of rules; default: those of the screen function.")
    ] = RULES_FILE,
    as_json: JsonOption = False,
) -> None:
    """Try the screening rules on sample payments, and show which rules match."""
    with clear_errors():
        checked = checked_rules(rules)
        tried_samples = try_rules(checked, load_samples())
    if as_json:
        samples = [asdict(sample) | {"as_expected": sample.as_expected} for sample in tried_samples]
        print_json({"version": checked.version, "samples": samples})
    else:
        show_tried(checked, tried_samples, console)
    exit_unless(all(sample.as_expected for sample in tried_samples))


def _replay_on_change(paths: list[Path], as_expected: Callable[[list[Path]], bool]) -> bool:
    """Replay event files, and again whenever they change, until Ctrl-C. Returns whether the last replay was as
    expected."""
    passed = False
    event_files(paths)  # fails early if there are none
    with suppress(KeyboardInterrupt):
        for files in changed_files(paths):
            # A file may be broken while it is being edited: report the error and go on.
            with suppress(typer.Exit), clear_errors():
                passed = as_expected(files)
            console.print("Watching the event files. Ctrl-C stops it.")
    return passed
