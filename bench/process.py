"""A process like those of the functions, with their package and layer: `python -S -m bench.process MODE …`.

    cold    DEPTH function NAME         import the handler, which creates its clients
    cold    DEPTH floor CLIENT …        import boto3, and create the clients of these AWS services, and of requests
    record  TASK                        handle the task's event on the stack that the environment names, and record
                                        every call and answer in the task
    memory  function|floor TASK         handle the event once, or make only its calls, with the recorded answers
    warm    TASK ROUNDS WARM_UP         do both in turn, again and again

It imports nothing that the measured code does not import anyway. A task is a JSON file with the `event`; after `record`
it also holds the `calls` to AWS as `[service, operation, parameters]`, AWS's `answers` as `[status, headers, body]`,
and the `exchanges` with the gateway as `[method, url, headers, body, status, answer's headers, answer]`. Bytes are
`{"base64": …}`.
"""

import importlib
import json
import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any


def main(mode: str, *arguments: str) -> None:
    if mode == "cold":
        _cold(*arguments)
    elif mode == "record":
        _record(arguments[0])
    elif mode == "memory":
        _memory(*arguments)
    else:
        _warm(*arguments)
    sys.stdout.flush()
    os._exit(0)  # skips the interpreter's shutdown, which is not part of a start


def _handler(function: str) -> Any:
    return importlib.import_module(f"functions.{function}.handler").handler


def _clients(services: Iterable[str]) -> dict[str, Any]:
    import boto3

    clients = {service: boto3.client(service) for service in services if service != "requests"}  # type: ignore[call-overload]
    if "requests" in services:
        import requests

        clients["requests"] = requests.Session()
    return clients


def _cold(depth: str, subject: str, *names: str) -> None:
    """Start from a stack that is `depth` calls deeper.

    CPython keeps its frames in chunks of 16 KiB. A recursion that crosses the end of a chunk again and again, as a
    regular expression's parser may, makes an import up to 40 ms slower. Whether it does depends only on the depth.
    """
    if int(depth):
        _cold(str(int(depth) - 1), subject, *names)
    elif subject == "function":
        _handler(names[0])
    else:
        _clients(names)


# -- Recording the calls and answers of one event


def _record(task_file: str) -> None:
    from botocore import client, endpoint
    from requests import adapters

    client_class: Any = client.BaseClient
    endpoint_class: Any = endpoint.Endpoint
    adapter_class: Any = adapters.HTTPAdapter
    task = _load(task_file)
    calls: list[Any] = []
    answers: list[Any] = []
    exchanges: list[Any] = []
    make_api_call, send, exchange = client_class._make_api_call, endpoint_class._send, adapter_class.send

    def call(self: Any, operation: str, parameters: Any) -> Any:
        calls.append([self.meta.service_model.service_name, operation, dict(parameters)])  # before botocore adds some
        return make_api_call(self, operation, parameters)

    def send_to_aws(self: Any, request: Any) -> Any:
        answer = send(self, request)
        answers.append([answer.status_code, dict(answer.headers), answer.content.decode()])
        return answer

    def send_to_gateway(self: Any, request: Any, **options: Any) -> Any:
        answer = exchange(self, request, **options)
        body = request.body.decode() if request.body else None
        request_parts = [request.method, request.url, dict(request.headers), body]
        exchanges.append([*request_parts, answer.status_code, dict(answer.headers), answer.text])
        return answer

    client_class._make_api_call, endpoint_class._send, adapter_class.send = call, send_to_aws, send_to_gateway
    answer = _handler(task["function"])(task["event"], None)
    _save(task_file, task | {"calls": calls, "answers": answers, "exchanges": exchanges, "answer": answer})


# -- The same calls with the recorded answers, which come at once


def _memory(subject: str, task_file: str) -> None:
    task = _load(task_file)
    run = _function(task) if subject == "function" else _floor(task, task["calls"])
    run()
    _save(f"{task_file}.memory", _peak_memory_bytes())


def _warm(task_file: str, rounds: str, warm_up: str) -> None:
    from time import perf_counter

    task = _load(task_file)
    # The function reads its secret every five minutes, so not on a warm call.
    calls = [call for call in task["calls"] if call[1] != "GetSecretValue"]
    runs = _function(task), _floor(task, calls)
    durations: tuple[list[float], list[float]] = [], []
    for n in range(int(warm_up) + int(rounds)):
        for run, seconds in zip(runs, durations, strict=True):
            started = perf_counter()
            run()
            if n >= int(warm_up):
                seconds.append(perf_counter() - started)
    _save(f"{task_file}.warm", durations)


def _function(task: dict[str, Any]) -> Callable[[], None]:
    _replay_aws_answers(task)
    handler, event = _handler(task["function"]), task["event"]
    return lambda: handler(event, None)


def _floor(task: dict[str, Any], calls: list[Any]) -> Callable[[], None]:
    """Return a callable that makes the function's calls, and does nothing else."""
    from botocore import xform_name
    from botocore.exceptions import ClientError

    _replay_aws_answers(task)
    clients = _clients(task["clients"])
    prepared_calls = [
        (getattr(clients[service], xform_name(operation)), parameters) for service, operation, parameters in calls
    ]
    exchanges = [exchange[:4] for exchange in task["exchanges"]]

    def run() -> None:
        for call, parameters in prepared_calls:
            with suppress(ClientError):  # an answer like any other
                call(**parameters)
        for method, url, headers, body in exchanges:
            clients["requests"].request(method, url, headers=headers, data=body, timeout=(1, 1)).json()

    return run


def _replay_aws_answers(task: dict[str, Any]) -> None:
    """Answer each operation with its recorded answers in turn, without a connection."""
    from botocore import endpoint
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders

    endpoint_class: Any = endpoint.Endpoint
    recorded: dict[str, list[Any]] = {}
    for (_, operation, _), answer in zip(task["calls"], task["answers"], strict=True):
        recorded.setdefault(operation, []).append(answer)
    answers_by_operation = {operation: cycle(answers) for operation, answers in recorded.items()}

    def send_to_aws(self: Any, request: Any) -> Any:
        status, headers, body = next(answers_by_operation[request.headers["X-Amz-Target"].decode().rpartition(".")[2]])
        answer: Any = AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), None)
        answer._content = body.encode()
        return answer

    endpoint_class._send = send_to_aws
    if task["exchanges"]:
        _replay_gateway_answers(cycle(task["exchanges"]))


def _replay_gateway_answers(exchanges: Iterator[Any]) -> None:
    import requests
    from requests import adapters

    adapter_class: Any = adapters.HTTPAdapter

    def send_to_gateway(self: Any, request: Any, **options: Any) -> Any:
        *_, status, headers, body = next(exchanges)
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = status, request.url, request
        answer.headers.update(headers)
        answer._content = body.encode()
        return answer

    adapter_class.send = send_to_gateway


def _peak_memory_bytes() -> int:
    """Return this process's peak resident memory."""
    try:
        # Not from getrusage, whose value starts at the parent's memory when it started this process.
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        from resource import RUSAGE_SELF, getrusage

        return getrusage(RUSAGE_SELF).ru_maxrss


# -- Tasks


def _load(file: str) -> Any:
    def restored(value: dict[str, Any]) -> Any:
        return b64decode(value["base64"]) if value.keys() == {"base64"} else value

    with open(file) as task:
        return json.load(task, object_hook=restored)


def _save(file: str, value: Any) -> None:
    def encoded(value: bytes) -> dict[str, str]:
        return {"base64": b64encode(value).decode()}

    with open(file, "w") as task:
        json.dump(value, task, default=encoded)


if __name__ == "__main__":
    main(*sys.argv[1:])
