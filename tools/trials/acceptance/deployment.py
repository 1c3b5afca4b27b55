"""An AWS environment that is created for one acceptance run, and the conditions for creating it.

An environment is created only if a budget notifies somebody and the user has confirmed the account, and never from the
variables of a production environment.
"""

import json
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from tools.deployment.paths import BUILD, TERRAFORM
from tools.deployment.stack import StackError
from tools.deployment.terraform import Terraform
from tools.estimates import cost
from tools.output import status_line

ENVIRONMENTS = TERRAFORM / "environments"
HOURS = 2
"""The duration of the longest run, including deployment and destruction."""
PAYMENTS = 500
"""An upper bound for the number of payments in a run."""
READ_BUDGETS = "budgets:ViewBudget"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A separate environment with the variables of `base`. Its files and workspace exist until it is destroyed."""

    base: str
    name: str
    variables: Mapping[str, Any]
    """The variables that differ from those of `base`."""
    tags: Mapping[str, str]
    gateway: str
    """The gateway that takes all payments."""
    gateway_key: str | None
    prepare: Callable[[str], Terraform]
    """Builds the packages and returns an initialised Terraform for an environment."""
    console: Console
    """Where Terraform's progress is shown."""

    @property
    def prefix(self) -> str:
        """The common prefix of its resource names."""
        return "-".join(self.tags[name] for name in ("Project", "Environment"))

    @property
    def terraform(self) -> Terraform:
        return Terraform(self.name, progress=partial(status_line, self.console))

    @property
    def is_written(self) -> bool:
        return self._files[0].exists()

    def write(self, **overrides: Any) -> None:
        """Write the files that define the environment for every command, so a leftover can be destroyed by hand."""
        tfvars, overrides_file = self._files
        tfvars.write_text((ENVIRONMENTS / f"{self.base}.tfvars").read_text())
        overrides_file.write_text(json.dumps({**self.variables, **overrides}, indent=2) + "\n")

    def delete_workspace(self) -> None:
        self.terraform.delete_workspace()
        for file in self._files:
            file.unlink()

    @property
    def _files(self) -> tuple[Path, Path]:
        return ENVIRONMENTS / f"{self.name}.tfvars", ENVIRONMENTS / f"{self.name}.acceptance.tfvars.json"


Clients = Callable[[str], Any]
"""Creates a client of the account for a service, given its name."""


def guarded_deployment(
    base: str,
    variables: Mapping[str, Any],
    clients: Clients,
    *,
    yes: str | None,
    gateway: str,
    gateway_key: str | None,
    prepare: Callable[[str], Terraform],
    console: Console,
) -> Deployment:
    """Return the environment to create. Raises StackError, with advice, if it must not be created."""
    if gateway not in variables["known_keys"] and not gateway_key:
        url = variables["gateway_urls"][gateway]
        raise StackError(f"No card could be charged: put the key for {url} into GATEWAY_API_KEY.")
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
            "gateway_routes": [{"gateway": gateway}],
            # The role exists once per account and region; destroying this deployment would remove it.
            "manage_api_gateway_account": not has_log_role(clients("apigateway"), clients("iam")),
        },
        tags={"Project": variables["name"], "Environment": name},
        gateway=gateway,
        gateway_key=gateway_key,
        prepare=prepare,
        console=console,
    )


def chosen_gateway(variables: Mapping[str, Any], name: str | None) -> str:
    """The gateway of the variables that is wanted, or the only one. Raises StackError."""
    names = sorted(variables["gateway_urls"])
    if name in names or (not name and len(names) == 1):
        return name or names[0]
    raise StackError(f"Choose one of the environment's gateways with GATEWAY=: {', '.join(names)}.")


def variables_of(base: str, console: Console) -> dict[str, Any]:
    """Evaluate an environment's variables without a workspace. Raises StackError if they must not be used."""
    if not (ENVIRONMENTS / f"{base}.tfvars").exists():
        raise StackError(f"There is no environment {base}: write terraform/environments/{base}.tfvars first.")
    terraform = Terraform(base, BUILD / "acceptance", progress=partial(status_line, console))
    terraform.init()
    names = ("name", "environment", "region", "deletion_protection")
    expressions = ", ".join(f"{name} = var.{name}" for name in names)
    variables: dict[str, Any] = terraform.evaluate(
        f"{{{expressions}, gateway_urls = {{for name, gateway in var.gateways : name => gateway.url}}, "
        "known_keys = nonsensitive(keys(var.gateway_keys))}"
    )
    refuse_production(base, variables)
    return variables


def refuse_production(base: str, variables: Mapping[str, Any]) -> None:
    """Raises StackError if the variables belong to a production or protected environment."""
    if any(re.search("prod|^live", name) for name in (base, variables["environment"])):
        raise StackError(f"{base} is production by its name. Choose another environment for the acceptance.")
    if variables["deletion_protection"]:
        raise StackError(
            f"{base} protects its data against deletion, as production does. What is accepted is destroyed afterwards: "
            f"name an environment that says deletion_protection = false."
        )


def find_budget(budgets: Any, account_id: str, needed_usd: float) -> str:
    """Find a budget that covers all the account's costs, has enough left and notifies somebody. Return a description.

    Raises StackError if there is none, or if the budgets cannot be read.
    """
    try:
        pages = budgets.get_paginator("describe_budgets").paginate(AccountId=account_id)
        budgets_found = [budget for page in pages for budget in page.get("Budgets", ())]
        for budget in budgets_found:
            if not list(budget_problems(budget, needed_usd)) and has_subscriber(
                budgets, account_id, budget["BudgetName"]
            ):
                limit, spent = budget["BudgetLimit"], spent_usd(budget)
                return (
                    f"The {budget['TimeUnit'].lower()} budget {budget['BudgetName']} has a limit of "
                    f"{limit['Amount']} {limit['Unit']}, of which {spent:g} are spent."
                )
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        raise StackError(
            f"The account's budgets can't be read. Grant yourself {READ_BUDGETS}: the acceptance spends money only "
            "under a budget that notifies somebody."
        ) from None
    reasons = "".join(
        f"\n  {budget['BudgetName']}: {reason}"
        for budget in budgets_found
        for reason in list(budget_problems(budget, needed_usd)) or ["nobody is told"]
    )
    raise StackError(
        f"No budget guards the account {account_id}. Create one in AWS Budgets: over all costs, daily or monthly, with "
        f"a limit and a subscriber (docs/acceptance.md has the command).{reasons}"
    )


def budget_problems(budget: Mapping[str, Any], needed_usd: float) -> Iterator[str]:
    """Yield the reasons why a budget does not protect the account."""
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
    if float(budget.get("BudgetLimit", {}).get("Amount", 0)) - spent_usd(budget) < needed_usd:
        yield f"it has less left than ${needed_usd:.2f}"


def spent_usd(budget: Mapping[str, Any]) -> float:
    return float(budget.get("CalculatedSpend", {}).get("ActualSpend", {}).get("Amount", 0))


def has_subscriber(budgets: Any, account_id: str, name: str) -> bool:
    """Whether the budget has a notification with at least one subscriber."""
    identity = {"AccountId": account_id, "BudgetName": name}
    return any(
        budgets.describe_subscribers_for_notification(
            **identity,
            # The state is not part of a notification's identity.
            Notification={name: value for name, value in notification.items() if name != "NotificationState"},
        )["Subscribers"]
        for notification in budgets.describe_notifications_for_budget(**identity).get("Notifications", ())
    )


def confirm(base: str, account_id: str, yes: str | None, console: Console) -> None:
    """Raises StackError unless the user confirms this account or environment."""
    if yes is not None:
        if yes != account_id:
            raise StackError(f"YES={yes} names another account than the credentials' {account_id}.")
        return
    if not sys.stdin.isatty():
        raise StackError(f"This needs confirmation. In a pipeline, confirm with the account's id: YES={account_id}")
    typed = console.input(f"This deploys to the account {account_id}, and destroys that again. Type {base} to go on: ")
    if typed.strip() != base:
        raise StackError("Nothing was done.")


def estimated_usd() -> float:
    """The cost of a run according to the cost model: its payments, and its share of the monthly fixed costs."""
    prices = cost.load_prices()
    design = cost.this_design(reads=5, per_month=PAYMENTS)
    per_payment = sum(line.units * prices[line.price].each for line in design.lines)
    per_month = sum(line.units * prices[line.price].each for line in cost.fixed_monthly_costs())
    return PAYMENTS * per_payment + per_month * HOURS / 730


def has_log_role(apigateway: Any, iam: Any) -> bool:
    """Whether API Gateway has a role for writing logs in this account, and that role still exists."""
    arn = apigateway.get_account().get("cloudwatchRoleArn")
    if not arn:
        return False
    try:
        iam.get_role(RoleName=re.split(r"[:/]", arn)[-1])
    except iam.exceptions.NoSuchEntityException:
        return False
    return True
