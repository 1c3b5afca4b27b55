"""A step for each row of the table of bad input (`tools/trials/acceptance/hostile.py`)."""

from collections.abc import Callable
from dataclasses import replace

from tools.trials.acceptance.hostile import TABLE, Row, send
from tools.trials.acceptance.run import Run, Step, expect_equal


def check_of(row: Row) -> Callable[[Run], None]:
    def check(run: Run) -> None:
        outcome = send(run.stack, row)
        # Record no body: the table has all bodies, and some are large.
        request = {"method": row.method, "path": row.path[:200], "row": row.name}
        run.recorder.save(
            row.name, request, {"status": outcome.status, "headers": outcome.headers, "body": outcome.text}
        )
        if outcome.status in (201, 202):
            outcome = replace(outcome, payment=run.wait_until_ended(str(row.key)))
        expect_equal("what is not as it should be", outcome.differences(row), [])

    return check


STEPS = [Step("hostile", row.name, check_of(row)) for row in TABLE]
