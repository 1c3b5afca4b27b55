from functions.resume.handler import handler
from functions.shared.domain.errors import GatewayBusy
from tests.samples import CHALLENGED_PAN, WAIT, card, order
from tests.unit.functions.conftest import Output, World


def test_a_payment_that_could_not_be_looked_at_is_logged_and_its_token_is_not(world: World, output: Output) -> None:
    world.gateway.charge(order("payment-of-ours-1"), card(CHALLENGED_PAN), "key")
    world.customer_waits.begin("payment-of-ours-1", "AQB4-task-token", WAIT)
    world.gateway.faults.arm("find", GatewayBusy("Try again."))
    assert handler({}, None) == {"waiting": 1, "resumed": 0, "failed": 1}
    line = output.logs()[0]
    assert (line["payment_id"], line["error"]) == ("payment-of-ours-1", "GatewayBusy")
    assert "AQB4-task-token" not in output.text
