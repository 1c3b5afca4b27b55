import http.client
import os
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask, request

from tests.sandbox import running_sandbox, serving
from tests.unit.tools.local.sparkle.conftest import API_KEY, charge_request, headers
from tools.deployment.paths import ROOT

ENVIRONMENT = os.environ | {"SPARKLE_API_KEY": API_KEY}


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)


def test_a_connection_is_kept_for_the_next_request(url: str) -> None:
    connection = connect(url)
    connection.connect()
    first_socket = connection.sock
    for _ in range(3):
        connection.request("POST", "/v1/reversals", body='{"reference": "a"}', headers=headers(""))
        assert connection.getresponse().read() != b""
        assert connection.sock is first_socket
    connection.request("DELETE", "/sandbox/faults", body="not read by anyone", headers=headers(""))
    assert connection.getresponse().read() == b""
    connection.request("HEAD", "/sandbox/health")
    assert connection.getresponse().read() == b""
    connection.request("GET", "/sandbox/health")
    assert connection.getresponse().status == 200
    assert connection.sock is first_socket


def test_a_client_may_ask_for_the_connection_to_be_closed(url: str) -> None:
    connection = connect(url)
    connection.request("GET", "/sandbox/health", headers={"Connection": "close"})
    connection.getresponse().read()
    assert connection.sock is None or connection.sock.recv(1) == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"Content-Length": "70000"}, 413),
        ({"Content-Length": "many"}, 400),
        ({"Content-Length": "-1"}, 400),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_body_of_unusable_length_is_refused_and_the_connection_closed(
    url: str, sent: dict[str, str], status: int
) -> None:
    connection = connect(url)
    connection.putrequest("POST", "/v1/charges")
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, response.getheader("Connection")) == (status, "close")


def test_a_long_report_can_be_put_in_place_of_a_days_own(url: str) -> None:
    content = b"?" * 4_000_000
    assert (
        requests.put(f"{url}/sandbox/settlements/2026-11-23", data=content, headers=headers(""), timeout=10).status_code
        == 204
    )
    answer = requests.get(f"{url}/v1/settlements?date=2026-11-23", headers=headers(""), timeout=10)
    assert answer.content == content


def test_a_stopped_sandbox_serves_nobody_not_even_on_a_kept_connection() -> None:
    with running_sandbox(API_KEY) as url:
        connection = connect(url)
        connection.request("GET", "/sandbox/health")
        connection.getresponse().read()
        open_socket = connection.sock
    assert open_socket.recv(1) == b""
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/sandbox/health", timeout=5)


def test_each_sandbox_has_a_book_of_its_own() -> None:
    with running_sandbox(API_KEY) as one, running_sandbox(API_KEY) as other:
        requests.post(f"{one}/v1/charges", json=charge_request(), headers=headers("k"), timeout=5)
        assert len(requests.get(f"{one}/sandbox/charges", headers=headers(""), timeout=5).json()["charges"]) == 1
        assert requests.get(f"{other}/sandbox/charges", headers=headers(""), timeout=5).json()["charges"] == []


def test_the_command_prints_its_url_serves_and_stops_on_sigterm() -> None:
    command = [sys.executable, "-m", "tools.local.sparkle", "--port", "0"]
    with subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        connection = connect(url)
        connection.request("POST", "/v1/charges", body="{}", headers=headers("k"))
        assert connection.getresponse().status == 422
        process.send_signal(signal.SIGTERM)
        output, complaints = process.communicate(timeout=10)
    assert (process.returncode, output, complaints) == (0, "", "")


def test_the_command_says_so_when_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        command = [sys.executable, "-m", "tools.local.sparkle", "--port", port]
        process = subprocess.run(  # noqa: S603
            command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=False
        )
    assert process.returncode == 1
    assert f"Port {port} is in use" in process.stderr
    assert process.stdout == ""


def test_answers_on_a_kept_connection_do_not_wait_for_delayed_acknowledgements() -> None:
    # An answer's body is sent after its headers. Without this option it would wait 40 ms for their acknowledgement.
    app = Flask(__name__)

    @app.get("/")
    def no_delay() -> str:
        connection: socket.socket = request.environ["werkzeug.socket"]
        return str(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    with serving(app) as url:
        assert requests.get(url, timeout=5).text == "True"
