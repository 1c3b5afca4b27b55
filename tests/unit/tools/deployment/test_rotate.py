"""Which generations of a key there are after `make rotate`, and what it says."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from tools.cli.__main__ import app
from tools.deployment.rotate import Key, rotate
from tools.deployment.terraform import Terraform, TerraformError
from tools.local.machine import Machine

FIRST = "first static key"


class Generations:
    """Terraform as `rotate` uses it, with these generations of every key."""

    def __init__(self, folder: Path, *generations: str) -> None:
        self.keys_file = folder / "local.keys.tfvars.json"
        self._generations = list(generations)

    def init(self) -> None:
        pass

    def evaluate(self, expression: str) -> list[str]:
        return self._generations

    @property
    def written(self) -> Any:
        return json.loads(self.keys_file.read_text())


@pytest.mark.parametrize(
    ("before", "retire", "after"),
    [([], False, ["1"]), (["1"], False, ["1", "2"]), (["1", "2"], True, ["2"]), (["2"], True, [])],
)
def test_generations_are_appended_and_retired_to_the_last(
    tmp_path: Path, before: list[str], retire: bool, after: list[str]
) -> None:
    terraform = Generations(tmp_path, *before)
    assert rotate(cast(Terraform, terraform), Key.SEALING, retire=retire) == after
    assert terraform.written == {"sealing_keys": after}


@pytest.mark.parametrize(
    ("key", "before", "why"),
    [(Key.SEALING, [], "There is no sealing key"), (Key.TOKEN, ["1"], "There is only one token key")],
)
def test_what_is_not_there_or_must_stay_is_not_retired(tmp_path: Path, key: Key, before: list[str], why: str) -> None:
    with pytest.raises(TerraformError, match=why):
        rotate(cast(Terraform, Generations(tmp_path, *before)), key, retire=True)


@pytest.mark.parametrize(
    ("arguments", "before", "is_first"),
    [(["sealing"], [], True), (["sealing"], ["1"], False), (["sealing", "--retire"], ["1", "2"], False)],
)
def test_a_deployment_s_first_static_key_is_called_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], before: list[str], is_first: bool
) -> None:
    monkeypatch.setattr(Machine, "terraform", lambda _: Generations(tmp_path, *before))
    run = CliRunner().invoke(app, ["rotate", *arguments, "local"])
    assert run.exit_code == 0, run.output
    assert (FIRST in " ".join(run.output.split())) is is_first
