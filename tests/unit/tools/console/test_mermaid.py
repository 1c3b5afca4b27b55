import pytest

from tests.unit.tools.console.machines import MACHINE
from tools.console.definition import Definition
from tools.console.mermaid import BEGIN, END, picture, with_picture
from tools.deployment.definitions import definition
from tools.deployment.paths import README


def test_the_readme_s_picture_is_the_payment_state_machine_s() -> None:
    text = README.read_text()
    assert with_picture(text, Definition.from_asl(definition("payment"))) == text, "It is stale: make picture"


def test_outcomes_are_stadiums_choices_diamonds_and_caught_errors_dotted() -> None:
    assert picture(MACHINE).splitlines()[3:] == [
        "    Charge --> Outcome{Outcome}",
        "    Outcome -->|status = captured or authorized| Done([Done])",
        "    Outcome -->|otherwise| Compensate",
        "    Wait --> Charge",
        "    Compensate --> Reversed([Reversed])",
        "    Charge -.->|Unknown| Wait",
        "    Charge -.-> Compensate",
        "```",
    ]


def test_ways_to_the_same_are_one_line_and_what_a_name_says_is_no_label() -> None:
    lines = picture(Definition.from_asl(definition("payment"))).splitlines()
    assert "    Charge & Confirm --> Persist([Persist])" in lines
    assert "    Outcome --> PaymentReversed([PaymentReversed])" in lines


def test_the_picture_replaces_what_is_between_its_marks_and_nothing_else() -> None:
    text = with_picture(f"before\n{BEGIN}\nold\n{END}\nafter\n", MACHINE)
    assert text == f"before\n{BEGIN}\n{picture(MACHINE)}\n{END}\nafter\n"
    assert with_picture(text, MACHINE) == text


@pytest.mark.parametrize("text", ["", f"{END}{BEGIN}", BEGIN])
def test_a_text_without_the_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="There is no"):
        with_picture(text, MACHINE)
