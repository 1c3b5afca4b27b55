"""`payments`, the project's one command. `make help` lists the same by target."""

import json
import logging
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from werkzeug.serving import make_server

from cli import calls
from cli.adopt import adopt as adopt_movements
from cli.anchors import anchor as anchor_day
from cli.audit import audit as audit_payments
from cli.audit import show
from cli.books import OpenBooks, a_day, day_before, now
from cli.build import Architecture, Target, build
from cli.cost import show as show_cost
from cli.events import FUNCTION_EVENTS, EventError, changed_files, event_files, load_api_events
from cli.explain import Call, explain
from cli.export import Format, open_accounts, replaced_file
from cli.export import export as export_journal
from cli.frame import JsonOption, StackOption, clear_errors, console, errors
from cli.invoke import Invocations, failed, function_names
from cli.ledger import payment as show_payment
from cli.ledger import statement as show_statement
from cli.ledger import trial_balance as show_trial_balance
from cli.log_role import respect_log_role
from cli.output import did_you_mean, exit_unless, print_json
from cli.paths import BUILD, IS_CHECKOUT, README, ROOT, STACK_FILE, STATE_MACHINES
from cli.permissions import PERMISSIONS_FILE, permissions
from cli.reconcile import reconcile as reconcile_day
from cli.reference import REFERENCE, reference_text
from cli.replay import replay_all
from cli.replay_executions import (
    DEFAULT_CARD,
    DEFAULT_LIMIT,
    Ended,
    executions_named,
    executions_of,
    replay_executions,
)
from cli.reports import report, write_json, write_junit
from cli.rollout import apply_until_live, roll_out
from cli.rotate import Key
from cli.rotate import rotate as rotate_key
from cli.rules import checked_rules, load_samples, try_rules
from cli.scale import scale as simulate_scale
from cli.soak import soak as soak_stack
from cli.stack import Stack, StackError, api_curlrc, new_payment_id, sandbox_curlrc
from cli.terraform import Terraform
from cli.upgrade import upgrade as upgrade_ledger
from cli.verify import verify as verify_ledger
from console import app as web
from console import mermaid, pages, terminal
from console.definition import Definition
from console.payments import Payments
from examples.checkout.app import create_app as create_checkout
from examples.client import PaymentsClient
from examples.client import seal as seal_card
from functions.screen.rules import RULES_FILE
from functions.shared.contracts import load
from functions.shared.domain.shapes import canonical_id
from local.machine import Machine

app = typer.Typer(name="payments", no_args_is_help=True)
ledger = typer.Typer(no_args_is_help=True, help="The books, for accountants. Days are UTC, written like 2026-11-23.")
app.add_typer(ledger, name="ledger")
app.add_typer(calls.cards, name="cards")
for call in (calls.pay, calls.get, calls.refund, calls.capture, calls.void):
    app.command()(call)
SAYS_AGAIN_SECONDS = 10.0

FromOption = Annotated[str | None, typer.Option("--from", metavar="DAY", help="The first day; today without it.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day; today without it.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"payments {version()}")
        raise typer.Exit


@app.callback()
def payments(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The card payment workflow: run it, try it, deploy it.

    Exit codes: 0 all is well · 1 something is not as it should be, a finding for instance, or a payment that was
    declined · 2 the command line is wrong · 3 it could not be done · 130 Ctrl-C. Make turns all but 0 into 2. Errors
    are on standard error.
    """


def _iso_time(text: str) -> datetime:
    """A time without an offset is in UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is no time in ISO 8601, as 2026-01-31T12:00:00Z is.") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@app.command()
def up() -> None:
    """Start the stack on this machine and deploy to it. Safe to repeat."""
    with clear_errors(needs_checkout=True):
        _up()
        _say_what_next(Stack.load(STACK_FILE))


@app.command()
def down() -> None:
    """Stop all that `up` started."""
    with clear_errors(needs_checkout=True):
        stopped = Machine.from_environment().down()
    console.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@app.command()
def demo() -> None:
    """Start the stack, replay every sample event, and show what came of it."""
    with clear_errors(needs_checkout=True):
        stack = _up()
        replays = replay_all(stack, load_api_events([]), console, concurrency=8)
        _say_what_next(stack)
    if replays.interrupted:
        raise KeyboardInterrupt
    exit_unless(all(replayed.as_expected for replayed in replays))


@app.command()
def replay(
    events: Annotated[
        list[Path] | None, typer.Argument(help="Event files, folders of them, or globs; events/api without any.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How often to replay each event.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="How many replays at a time.")] = 1,
    watch: Annotated[bool, typer.Option("--watch", help="Replay an event again when its file changes.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write a report for continuous integration here.")] = None,
    json_file: Annotated[Path | None, typer.Option(help="Write a report in JSON here.")] = None,
    as_json: JsonOption = False,
    execution: Annotated[
        list[str] | None,
        typer.Option(
            help="Replay past executions instead, by ARN or payment id, with blanks between. May be repeated."
        ),
    ] = None,
    status: Annotated[
        Ended | None, typer.Option(case_sensitive=False, help="Replay past executions that ended like this.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(parser=_iso_time, metavar="TIME", help="… that started then or later (ISO 8601).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=_iso_time, metavar="TIME", help="… that started then or before.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="… and at most so many, the latest.", show_default="20")
    ] = None,
    from_stack: Annotated[
        Path | None, typer.Option(help="The stack file of the stack with the past executions, if it is another one.")
    ] = None,
    card: Annotated[
        str, typer.Option(help="The published test card to put in the place of a sealed card or a token.")
    ] = DEFAULT_CARD,
    stack: StackOption = STACK_FILE,
) -> None:
    """Replay sample events, or past executions, and show what came of it."""
    filters = any((status, since, until, limit))
    if execution and filters:
        raise typer.BadParameter("--execution names executions; --status, --since, --until and --limit choose others.")
    past = execution or filters or from_stack
    if past and (events or repeat > 1 or watch or junit or json_file or as_json):
        raise typer.BadParameter(
            "Events, --repeat, --watch, --junit, --json-file and --json are not for past executions."
        )
    with clear_errors():
        if not past:
            event_files(events or [])  # a typo is told before anything is asked
        target = Stack.load(stack)
        target.call("GET", "/keys")  # fails at once where nobody answers
        if past:
            source = Stack.load(from_stack) if from_stack else target
            with console.status("Reading past executions"):
                found = (
                    executions_named(source, [name for names in execution for name in names.split()])
                    if execution
                    else executions_of(source, status, since, until, limit or DEFAULT_LIMIT)
                )
            replayed = replay_executions(target, found, console, card_number=card, concurrency=concurrency)
            if replayed.interrupted:
                raise KeyboardInterrupt
            exit_unless(all(each.ended for each in replayed))

        def as_expected(files: Iterable[Path]) -> bool:
            chosen = load_api_events(files)
            replays = replay_all(target, chosen, _told(as_json), repeat=repeat, concurrency=concurrency)
            if as_json:
                print_json(report(replays))
            if junit:
                write_junit(replays, junit)
            if json_file:
                write_json(replays, json_file)
            if replays.interrupted:
                raise KeyboardInterrupt
            return all(replayed.as_expected for replayed in replays)

        passed = as_expected(events or []) if not watch else _watched(events or [], as_expected)
    exit_unless(passed)


@app.command()
def invoke(
    function: Annotated[str, typer.Argument(help=f"{', '.join(function_names())}.")],
    event: Annotated[
        Path | None, typer.Argument(help="Its event; events/functions/<function>.json without one.")
    ] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Run one function on one event, and print its answer. What it begins, a charge for instance, is ended by the
    functions that come next.
    """
    with clear_errors():
        if function not in function_names():
            raise EventError(f"There is no function {function}.{did_you_mean(function, function_names())}")
        file = event or FUNCTION_EVENTS / f"{function}.json"
        answers = Invocations(Stack.load(stack)).invoke_with_next(function, file)
    console.print_json(json.dumps(answers[function]))
    for following in list(answers)[1:]:
        what = "failed" if failed(answers[following]) else "ran"
        errors.print(f"{following} {what} after it, so that nothing is left half done.", highlight=False)
    exit_unless(not failed(answers[function]))


@app.command()
def seal(
    payment_id: Annotated[
        str | None, typer.Option(help="The Idempotency-Key to seal for; a new one without it.")
    ] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Seal a card for one payment. The card is asked for, so that it is in no command line and no shell history."""
    payment_id = payment_id or new_payment_id()
    with clear_errors():
        key = Stack.load(stack).call("GET", "/keys").json()["keys"][0]
        card = asdict(calls.asked_card())
    typer.echo(f"Sealed for the payment {payment_id}, which must be the Idempotency-Key. The card_data:", err=True)
    typer.echo(seal_card(card, payment_id, key))


@app.command("explain")
def explain_body(
    body: Annotated[Path | None, typer.Argument(help="The file with the body; standard input without one.")] = None,
    call: Annotated[Call, typer.Option(help="What it is to be sent to.")] = Call.PAYMENTS,
) -> None:
    """Say what is wrong with a request's body, by field and rule and without repeating it, before it is sent."""
    try:
        broken = explain(body.read_bytes() if body else sys.stdin.buffer.read(), call, datetime.now(UTC))
    except OSError as error:
        raise typer.BadParameter(f"{body}: {error.strerror}.") from None
    for rule in broken or ["Nothing is wrong that can be told before."]:
        typer.echo(rule)
    exit_unless(not broken)


@app.command()
def inspect(
    payment_id: Annotated[str, typer.Argument(help="The payment's id, or the ARN of any execution.")],
    file: Annotated[Path | None, typer.Argument(help="Where to write the page.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Write a page that needs nothing else.")] = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show one payment: its way through the states, and its ledger entries."""
    with clear_errors():
        payments = Payments(Stack.load(stack))
        look = payments.look(canonical_id(payment_id))
        if not (html or file):
            terminal.show(look, payments.operations(look), console)
            return
    file = file or BUILD / f"inspect-{payment_id.rpartition(':')[2]}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(pages.single_page(look))
    console.print(f"Wrote {file}", highlight=False, soft_wrap=True)


@app.command(name="console")
def serve_console(
    port: Annotated[int, typer.Option(envvar="CONSOLE_PORT", min=0, max=65535, help="0 takes a free one.")] = 4568,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show a stack's payments in the browser, as they happen. Read only, for this machine alone, until Ctrl-C."""
    with clear_errors():
        server = web.serve(Stack.load(stack), port, None if stack == STACK_FILE else str(stack))
    console.print(f"The console is at http://localhost:{server.port}  (Ctrl-C stops it)", highlight=False)
    server.serve_forever()


@app.command()
def picture() -> None:
    """Draw the README's picture of the payment state machine from its definition."""
    with clear_errors(needs_checkout=True):
        definition = Definition.from_asl((STATE_MACHINES / "payment.asl.json").read_text())
        README.write_text(mermaid.with_picture(README.read_text(), definition))
    console.print(f"Wrote the picture in {README}", highlight=False)


@app.command()
def reference() -> None:
    """Write docs/command.md, which describes this command, from the command itself."""
    with clear_errors(needs_checkout=True):
        REFERENCE.write_text(reference_text())
    console.print(f"Wrote {REFERENCE}", highlight=False)


@app.command()
def audit(
    payment: Annotated[list[str] | None, typer.Argument(help="Payment ids; all payments without any.")] = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Hold executions, ledger and the gateway's sandbox against each other, and show what does not agree."""
    with clear_errors(needs_checkout=True):
        target = Stack.load(stack)
        if not target.sparkle_url:
            errors.print("This stack has no sandbox, so the gateway's side is left out.")
        audited = audit_payments(target, list(map(canonical_id, payment)) if payment else None)
        if unknown := [each.payment_id for each in audited.evidence.values() if each.is_unknown]:
            raise StackError(f"This stack knows no payment {', '.join(unknown)}.")
    if as_json:
        print_json({"payments": len(audited.evidence), "findings": audited.findings})
    else:
        show(audited, console)
    exit_unless(not audited.findings)


@app.command()
def soak(
    count: Annotated[int, typer.Argument(min=1, help="How many payments.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Another seed, other payments.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="How many payments at a time.")] = 8,
    stack: StackOption = STACK_FILE,
) -> None:
    """Push many payments with faults among them through the API, then hold the sandbox against the ledger."""
    with clear_errors():
        passed = soak_stack(Stack.load(stack), count=count, seed=seed, concurrency=concurrency, console=console)
    exit_unless(passed)


@app.command()
def adopt(
    payment: Annotated[str, typer.Argument(help="The payment's id.")],
    stack: StackOption = STACK_FILE,
) -> None:
    """Book what somebody did to a payment's charge at the gateway, and show what that was. Safe to repeat."""
    with clear_errors():
        adopt_movements(Stack.load(stack), payment, console)


@app.command()
def reconcile(
    day: Annotated[str | None, typer.Argument(help="Which day (UTC), like 2026-11-23; yesterday without it.")] = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Hold the gateway's report, the ledger and the executions of a day against each other, and show what breaks."""
    with clear_errors():
        agrees = reconcile_day(Stack.load(stack), a_day(day or day_before(now()[:10])), _told(as_json), as_json=as_json)
    exit_unless(agrees)


@ledger.command(name="trial-balance")
def trial_balance(
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="The end of a day, or a time like 2026-11-23T18:00:00Z; or now.")
    ] = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show what each account comes to, and whether debits equal credits."""
    with clear_errors():
        balanced = show_trial_balance(OpenBooks.of(Stack.load(stack)), as_of, _told(as_json), as_json=as_json)
    exit_unless(balanced)


@ledger.command()
def statement(
    account: Annotated[str, typer.Argument(help="Its full name, like asset:gateway:sparkle.")],
    first: FromOption = None,
    last: ToOption = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show an account's postings of some days, with its balance before and after."""
    with clear_errors():
        show_statement(OpenBooks.of(Stack.load(stack)), account, first, last, _told(as_json), as_json=as_json)


@ledger.command()
def payment(payment_id: str, as_json: JsonOption = False, stack: StackOption = STACK_FILE) -> None:
    """Show a payment's entries, and its accounts as Ts."""
    with clear_errors():
        show_payment(OpenBooks.of(Stack.load(stack)), canonical_id(payment_id), console, as_json=as_json)


@ledger.command()
def export(
    first: FromOption = None,
    last: ToOption = None,
    format: Annotated[Format, typer.Option(help="What it is written as.")] = Format.CSV,
    out: Annotated[Path | None, typer.Option(help="The file; standard output without it.")] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Write the journal of some days for other tools."""
    with clear_errors():
        books = OpenBooks.of(Stack.load(stack))
        with replaced_file(out) if out else nullcontext(sys.stdout.buffer) as file:
            # Where the journal itself scrolls by, how far it is would be in the way.
            progress = Console(stderr=True, quiet=out is None and sys.stdout.isatty())
            export_journal(books, first, last, format, file, progress)


@ledger.command()
def accounts(
    out: Annotated[Path | None, typer.Option(help="The file; standard output without it.")] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Write a file for beancount that opens the accounts, to be included once beside the journal's months."""
    with clear_errors(), replaced_file(out) if out else nullcontext(sys.stdout.buffer) as file:
        open_accounts(OpenBooks.of(Stack.load(stack)), file)


@ledger.command()
def anchor(
    day: Annotated[str | None, typer.Argument(help="Which day (UTC), like 2026-11-23; today without it.")] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Write what a day's payments are where nobody can change it, for `verify` to compare."""
    with clear_errors():
        anchored = anchor_day(Stack.load(stack), a_day(day), console)
    exit_unless(anchored)


@ledger.command()
def upgrade(stack: StackOption = STACK_FILE) -> None:
    """Once, after an older version: move cards and counters to their tables, and have what has no seal anchored."""
    with clear_errors():
        upgrade_ledger(Stack.load(stack), console)


@ledger.command()
def verify(as_json: JsonOption = False, stack: StackOption = STACK_FILE) -> None:
    """Read the whole ledger, and show what is not as it was written."""
    with clear_errors():
        target = Stack.load(stack)
        intact = verify_ledger(target, OpenBooks.of(target), _told(as_json), as_json=as_json)
    exit_unless(intact)


@app.command()
def cost(
    per_month: Annotated[int, typer.Argument(min=1, help="Captured payments a month.")] = 1_000_000,
    polls: Annotated[int, typer.Option(min=0, help="How often a client asks how a payment is.")] = 2,
) -> None:
    """Show what captured payments cost on AWS, by service, beside other ways to build the same."""
    with clear_errors(needs_checkout=True):
        show_cost(per_month, polls, BUILD / "cost.json", console)


@app.command()
def scale(
    payments: Annotated[int, typer.Argument(min=1000, help="How many payments.")] = 10_000_000,
    rate: Annotated[int, typer.Option(min=1, help="How many of them a second.")] = 10_000,
    skew: Annotated[float, typer.Option(min=0, help="Zipf's exponent of cards and merchants.")] = 1.0,
) -> None:
    """Simulate which keys of the table and its indexes take how much of the writes, and draw it."""
    exit_unless(simulate_scale(payments, rate, skew, BUILD, console))


@app.command(name="rules-test")
def rules_test(
    rules: Annotated[
        Path, typer.Argument(show_default=False, help="The rules; those of the function screen without one.")
    ] = RULES_FILE,
) -> None:
    """Try the screening rules on sample payments, and show which fire."""
    with clear_errors():
        as_expected = try_rules(checked_rules(rules), load_samples(), console)
    exit_unless(as_expected)


@app.command()
def checkout(
    port: Annotated[int, typer.Option(envvar="CHECKOUT_PORT", min=1, max=65535, help="Where to serve it.")] = 8080,
    stack: StackOption = STACK_FILE,
) -> None:
    """Serve the shop's checkout in examples/checkout, paid through a stack, until Ctrl-C."""
    with clear_errors():
        target = Stack.load(stack)
        payments = PaymentsClient(target.api_url, target.region, target.session().get_credentials())
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        server = make_server("127.0.0.1", port, create_checkout(payments, load("test_cards")), threaded=True)
    console.print(f"The checkout is at http://localhost:{port}  (Ctrl-C stops it)", highlight=False)
    server.serve_forever()


@app.command()
def plan(environment: Annotated[str, typer.Argument(help="dev or prod: a file in terraform/environments")]) -> None:
    """Show what a deployment to AWS would change."""
    with clear_errors(needs_checkout=True):
        _prepared(environment).plan()


@app.command()
def deploy(
    environment: Annotated[str, typer.Argument(help="dev or prod: a file in terraform/environments")],
    percent: Annotated[
        int | None, typer.Option(min=1, max=99, help="Of what is started, how much the new versions get at first.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="How long the alarms must be silent before they get all.")] = 15,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before the first change.")] = False,
    stack: Annotated[Path | None, typer.Option(help="Where to write the stack file.")] = None,
) -> None:
    """Deploy to AWS, in steps if asked for, and write a stack file for replay and the like."""
    with clear_errors(needs_checkout=True):
        terraform = _prepared(environment)
        respect_log_role(terraform, console.print)
        if percent is None:
            apply_until_live(terraform, console.print, ask=not yes)
        else:
            cloudwatch = terraform.client("cloudwatch", terraform.outputs().get("region"))
            if not roll_out(
                terraform, cloudwatch, percent=percent, seconds=60 * minutes, console=console, approve=not yes
            ):
                console.print("The versions from before are in service. See docs/runbook.md for the alarm.")
                raise typer.Exit(1)
        outputs = terraform.outputs()
        file = stack or STACK_FILE.with_name(f"stack-{environment}.json")
        Stack(**{field.name: outputs[field.name] for field in fields(Stack) if field.name in outputs}).save(file)
    console.print(f"Deployed. Try it: make replay STACK={file}", highlight=False)


@app.command()
def destroy(environment: Annotated[str, typer.Argument(help="dev or prod: a file in terraform/environments")]) -> None:
    """Take a deployment to AWS down, with all that it holds. Asks before it does."""
    with clear_errors(needs_checkout=True):
        terraform = _prepared(environment)
        respect_log_role(terraform, console.print, destroying=True)
        terraform.destroy(show=True)


@app.command()
def accept(
    environment: Annotated[
        str, typer.Argument(help="local, or a file in terraform/environments by whose variables one is made for this.")
    ],
    only: Annotated[
        list[str] | None, typer.Option(metavar="GROUPS", help="Ask these groups of questions only. May be repeated.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave what was deployed.")] = False,
    yes: Annotated[
        str | None, typer.Option(envvar="YES", metavar="ACCOUNT", help="Yes to this AWS account, for pipelines.")
    ] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Ask a deployment everything that the product says of itself, and keep every raw answer (docs/acceptance.md)."""
    with clear_errors(needs_checkout=True):
        from cli.acceptance.command import acceptance  # only now: its requests are megabytes

        passed = acceptance(
            environment,
            only=" ".join(only or ()).split(),
            keep=keep,
            yes=yes,
            stack_file=stack,
            prepare=_prepared,
            console=console,
        )
    exit_unless(passed)


@app.command()
def rotate(
    key: Annotated[Key, typer.Argument(help="Which key: sealing or token.")],
    environment: Annotated[str, typer.Argument(help="local, or a file in terraform/environments")],
    retire: Annotated[bool, typer.Option("--retire", help="Take the oldest generation away instead.")] = False,
) -> None:
    """Begin a new generation of a key that KMS can't rotate by itself (docs/rotation.md)."""
    with clear_errors(needs_checkout=True):
        local = environment == "local"
        terraform = Machine.from_environment().terraform() if local else Terraform.on_aws(environment)
        terraform.init()
        generations = rotate_key(terraform, key, retire=retire)
    console.print(f"{key}_keys is now {json.dumps(generations)} in {terraform.keys_file}", highlight=False)
    console.print(f"Deploy it: make {'up' if local else f'deploy ENV={environment}'}", highlight=False)


@app.command(name="permissions")
def write_permissions() -> None:
    """Write docs/permissions.yaml: who may do what on the local stack, which must be up."""
    with clear_errors(needs_checkout=True):
        PERMISSIONS_FILE.write_text(permissions(Machine.from_environment().terraform()))
    console.print(f"Wrote {PERMISSIONS_FILE}. Review what changed: git diff", highlight=False)


@app.command()
def validate() -> None:
    """Check that the Terraform is formatted and valid."""
    with clear_errors(needs_checkout=True):
        Terraform("validate").check()
    console.print("The Terraform is formatted and valid.")


@app.command(name="build")
def build_packages(
    runtime: Annotated[str | None, typer.Option(help="python3.13, for instance; this machine's without one.")] = None,
    architecture: Annotated[
        Architecture | None, typer.Option(help="arm64 without one, where a runtime is named.")
    ] = None,
) -> None:
    """Build what Lambda runs: the functions' zip and their layer."""
    with clear_errors(needs_checkout=True):
        if architecture and not runtime:
            raise typer.BadParameter("Name the runtime too, like --runtime python3.13.")
        target = Target(runtime, architecture or Architecture.ARM64) if runtime else Target.host()
        with _steps("Building") as (_, progress):
            folder = build(target, progress)
    console.print(f"Built {folder}", highlight=False)


def _watched(paths: list[Path], as_expected: Callable[[list[Path]], bool]) -> bool:
    """Replay event files, and again those that change, until Ctrl-C; whether the last ones went as expected."""
    passed = False
    event_files(paths)  # fails at once where there are none
    with suppress(KeyboardInterrupt):
        for files in changed_files(paths):
            # A mistake in a file that is being written is told, and is not the end.
            with suppress(typer.Exit), clear_errors():
                passed = as_expected(files)
            console.print("Watching the event files. Ctrl-C ends it.")
    return passed


def _told(as_json: bool) -> Console:
    """Where people are told something: beside JSON, on standard error."""
    return errors if as_json else console


def _up() -> Stack:
    with _steps("Starting") as (say, progress):
        return Machine.from_environment().up(say, progress)


@contextmanager
def _steps(first: str) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Two ways to say what is done: each step in a line of its own, and how far a long one is in a line that changes.

    A log has no such line: there it is said every now and then.
    """
    with console.status(first) as status:
        said_at = time.monotonic()

        def say(step: str) -> None:
            console.print(step, highlight=False)
            status.update(escape(step))

        def progress(text: str) -> None:
            nonlocal said_at
            status.update(escape(text))
            if not console.is_terminal and time.monotonic() > said_at + SAYS_AGAIN_SECONDS:
                said_at = time.monotonic()
                console.print(f"  {text}", highlight=False)

        yield say, progress


def _prepared(environment: str) -> Terraform:
    """Terraform for an AWS environment, initialised, with the packages built that its variables name."""
    with _steps("Looking for credentials") as (say, progress):
        terraform = Terraform.on_aws(environment, progress)
        say(f"AWS account {terraform.account()}")
        say(f"Initialising Terraform (AWS provider from {terraform.init()})")
        target = Target(*terraform.evaluate("[var.lambda_runtime, var.lambda_architecture]"))
        say(f"Building for {target.runtime} on {target.architecture}")
        build(target, progress)
    return terraform


def _say_what_next(stack: Stack) -> None:
    """Lines to paste; printed as they are, so that the terminal's width breaks none of them."""
    payment_id = new_payment_id()
    curl, ask_sandbox = (
        f"curl --config {file.relative_to(ROOT)}" for file in (api_curlrc(STACK_FILE), sandbox_curlrc(STACK_FILE))
    )
    body = (
        '{"amount_minor": 1999, "currency": "USD", "card_data": '
        '{"card_number": "4242424242424242", "expiry_date": "12/30", "card_holder": "John Doe"}}'
    )
    headers = f"-H 'Content-Type: application/json' -H 'Idempotency-Key: {payment_id}'"
    for line in (
        "",
        "The stack is up. Pay by hand, then look at the payment:",
        f"  {curl} {headers} -d '{body}' {stack.api_url}/payments",
        f"  {curl} {stack.api_url}/payments/{payment_id}",
        "Its way through the states, and its ledger entries:",
        f"  make inspect PAYMENT={payment_id}",
        "All payments in the browser, as they happen:",
        "  make console",
        "A shop's checkout, to pay in a browser:",
        "  make checkout",
        "What the gateway knows:",
        f"  {ask_sandbox} {stack.sparkle_url}/sandbox/charges",
        "Stop everything:",
        "  make down",
    ):
        typer.echo(line)


def version() -> str:
    """Of the checkout or, where there is none, of the package that is installed."""
    if IS_CHECKOUT:
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    return metadata.version("payments")


def main() -> None:
    app(prog_name="payments")


if __name__ == "__main__":
    main()
