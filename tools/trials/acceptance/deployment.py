"""An environment in AWS that is made for one acceptance, and what must be so before it is.

Nothing is made without a budget that tells somebody, and without a yes that names the account; and nothing at all by
the variables of production.
"""

import json
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from tools.deployment.paths import BUILD, TERRAFORM
from tools.deployment.stack import StackError
from tools.deployment.terraform import Terraform
from tools.estimates import cost

ENVIRONMENTS = TERRAFORM / "environments"
HOURS = 2
"""How long the longest run stands, deploying and destroying included."""
PAYMENTS = 500
"""More than a run makes."""
READ_BUDGETS = "budgets:ViewBudget"


@dataclass(frozen=True, slots=True)
class Deployment:
    """An environment of its own, with the variables of `base`. Its files and its workspace stay until it is gone."""

    base: str
    name: str
    variables: Mapping[str, Any]
    """What it has otherwise than `base`."""
    tags: Mapping[str, str]
    gateway_key: str | None
    prepare: Callable[[str], Terraform]
    """Terraform for an environment, initialised, with its packages built."""

    @property
    def prefix(self) -> str:
        """What the names of its resources begin with."""
        return "-".join(self.tags[name] for name in ("Project", "Environment"))

    @property
    def terraform(self) -> Terraform:
        return Terraform(self.name)

    @property
    def is_written(self) -> bool:
        return self._files[0].exists()

    def write(self, **more: Any) -> None:
        """The files by which every command knows the environment, so that one that is left can be destroyed by hand."""
        tfvars, overrides = self._files
        tfvars.write_text((ENVIRONMENTS / f"{self.base}.tfvars").read_text())
        overrides.write_text(json.dumps({**self.variables, **more}, indent=2) + "\n")

    def delete_workspace(self) -> None:
        self.terraform.delete_workspace()
        for file in self._files:
            file.unlink()

    @property
    def _files(self) -> tuple[Path, Path]:
        return ENVIRONMENTS / f"{self.name}.tfvars", ENVIRONMENTS / f"{self.name}.acceptance.tfvars.json"


Clients = Callable[[str], Any]
"""Gives a client of the account by the service's name."""


def guarded(
    base: str,
    variables: Mapping[str, Any],
    clients: Clients,
    *,
    yes: str | None,
    gateway_key: str | None,
    prepare: Callable[[str], Terraform],
    console: Console,
) -> Deployment:
    """The environment that may be made. Raises StackError, with what to do, where it may not."""
    if not variables["has_gateway_key"] and not gateway_key:
        raise StackError(f"Nobody could be charged: put the key for {variables['gateway_url']} into GATEWAY_API_KEY.")
    account_id = clients("sts").get_caller_identity()["Account"]
    budget = find_budget(clients("budgets"), account_id, estimated_usd())
    console.print(f"{budget}\nAn acceptance costs about ${estimated_usd():.2f}.", highlight=False)
    confirm(base, account_id, yes, console)
    name = f"accept{secrets.token_hex(3)[:5]}"
    return Deployment(
        base=base,
        name=name,
        variables={
            "environment": name,
            "deletion_protection": False,
            "kms_deletion_window_days": 7,
            "alarm_emails": [],
            "api_callers": {},
            "api_domain": None,
            "api_throttling_rate": 100,
            "api_throttling_burst": 200,
            # One for each account and region, which would be gone with this deployment.
            "manage_api_gateway_account": not has_log_role(clients("apigateway"), clients("iam")),
        },
        tags={"Project": variables["name"], "Environment": name},
        gateway_key=gateway_key,
        prepare=prepare,
    )


def variables_of(base: str) -> dict[str, Any]:
    """What an environment's file says, without a workspace for it. Raises StackError where it must not be used."""
    if not (ENVIRONMENTS / f"{base}.tfvars").exists():
        raise StackError(f"There is no environment {base}: write terraform/environments/{base}.tfvars first.")
    terraform = Terraform(base, state=BUILD / "acceptance" / "no.tfstate")
    terraform.init()
    names = ("name", "environment", "region", "deletion_protection", "gateway_url")
    asked = ", ".join(f"{name} = var.{name}" for name in names)
    found: dict[str, Any] = terraform.evaluate(
        f"{{{asked}, has_gateway_key = nonsensitive(var.gateway_api_key != null)}}"
    )
    refuse_production(base, found)
    return found


def refuse_production(base: str, variables: Mapping[str, Any]) -> None:
    """Raises StackError where the variables are those of an environment that must stay."""
    if any(re.search("prod|^live", name) for name in (base, variables["environment"])):
        raise StackError(f"{base} is production by its name. Accept by the variables of another environment.")
    if variables["deletion_protection"]:
        raise StackError(
            f"{base} protects its data against deletion, as production does. What is accepted is destroyed afterwards: "
            f"name an environment that says deletion_protection = false."
        )


def find_budget(budgets: Any, account_id: str, needed_usd: float) -> str:
    """A budget that covers all that the account costs, has enough left, and tells somebody; in words.

    Raises StackError where there is none, or where it can't be seen.
    """
    try:
        pages = budgets.get_paginator("describe_budgets").paginate(AccountId=account_id)
        found = [budget for page in pages for budget in page.get("Budgets", ())]
        for budget in found:
            if not list(flaws(budget, needed_usd)) and is_told(budgets, account_id, budget["BudgetName"]):
                limit, spent = budget["BudgetLimit"], spent_of(budget)
                return (
                    f"The {budget['TimeUnit'].lower()} budget {budget['BudgetName']} ends at "
                    f"{limit['Amount']} {limit['Unit']}, of which {spent:g} are spent."
                )
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        raise StackError(
            f"The account's budgets can't be seen. Allow yourself {READ_BUDGETS}: nothing is spent here unless it is "
            "seen that somebody is told."
        ) from None
    reasons = "".join(
        f"\n  {budget['BudgetName']}: {reason}"
        for budget in found
        for reason in list(flaws(budget, needed_usd)) or ["nobody is told"]
    )
    raise StackError(
        f"No budget guards the account {account_id}. Make one in AWS Budgets: over all costs, by day or by month, with "
        f"a limit and somebody who is told (docs/acceptance.md has the command).{reasons}"
    )


def flaws(budget: Mapping[str, Any], needed_usd: float) -> Iterator[str]:
    """Why a budget is no guard."""
    if budget["BudgetType"] != "COST":
        yield "it is not about cost"
        return
    if budget.get("CostFilters") or budget.get("FilterExpression"):
        yield "it leaves some of the costs out"
    if budget["TimeUnit"] not in ("DAILY", "MONTHLY"):
        yield "it is neither daily nor monthly"
    end = budget.get("TimePeriod", {}).get("End")
    if end is not None and end < datetime.now(UTC):
        yield "its time is over"
    if float(budget.get("BudgetLimit", {}).get("Amount", 0)) - spent_of(budget) < needed_usd:
        yield f"it has less left than ${needed_usd:.2f}"


def spent_of(budget: Mapping[str, Any]) -> float:
    return float(budget.get("CalculatedSpend", {}).get("ActualSpend", {}).get("Amount", 0))


def is_told(budgets: Any, account_id: str, name: str) -> bool:
    """Whether the budget has a notification with somebody who gets it."""
    of = {"AccountId": account_id, "BudgetName": name}
    return any(
        budgets.describe_subscribers_for_notification(
            **of,
            # Without its state, which is no part of what names it.
            Notification={name: value for name, value in notification.items() if name != "NotificationState"},
        )["Subscribers"]
        for notification in budgets.describe_notifications_for_budget(**of).get("Notifications", ())
    )


def confirm(base: str, account_id: str, yes: str | None, console: Console) -> None:
    """Raises StackError unless somebody has said yes to this very account."""
    if yes is not None:
        if yes != account_id:
            raise StackError(f"YES={yes} is a yes to another account than {account_id}, which the credentials are of.")
        return
    if not sys.stdin.isatty():
        raise StackError(f"Nobody is here to say yes. A pipeline says it with the account's id: YES={account_id}")
    typed = console.input(f"This deploys to the account {account_id}, and destroys that again. Type {base} to go on: ")
    if typed.strip() != base:
        raise StackError("Nothing was done.")


def estimated_usd() -> float:
    """What a run costs, by the cost model: its payments, and what stands by the month for its hours."""
    prices = cost.load_prices()
    of_payments = sum(line.units * prices[line.price].each for line in cost.this_way(looks=5, per_month=PAYMENTS).lines)
    by_the_month = sum(line.units * prices[line.price].each for line in cost.base())
    return PAYMENTS * of_payments + by_the_month * HOURS / 730


def has_log_role(apigateway: Any, iam: Any) -> bool:
    """Whether API Gateway has a role to write this account's logs with, and it still is there."""
    arn = apigateway.get_account().get("cloudwatchRoleArn")
    if not arn:
        return False
    try:
        iam.get_role(RoleName=re.split(r"[:/]", arn)[-1])
    except iam.exceptions.NoSuchEntityException:
        return False
    return True
