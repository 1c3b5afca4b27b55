import json

from functions.shared import http


def test_an_answer_is_json_for_the_proxy_integration() -> None:
    assert http.answer(200, {"name": "Zoë"}) == {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": json.dumps({"name": "Zoë"}),
    }


def test_an_answer_without_a_body_has_an_empty_one() -> None:
    assert http.answer(204)["body"] == ""


def test_an_error_has_the_apis_shape() -> None:
    error = http.error(404, "payment_not_found", "There is none.")
    assert error["statusCode"] == 404
    assert json.loads(error["body"]) == {"error": {"code": "payment_not_found", "message": "There is none."}}
