from bench.processes import CLIENTS
from tools.trials.invoke import function_names


def test_every_function_is_measured() -> None:
    assert sorted(CLIENTS) == function_names()
