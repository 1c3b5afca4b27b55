"""`python -S -P fork_server.py DESCRIPTOR`: starts functions' processes by forking this one (see environments.py).

It has imported what most functions import, and loaded the descriptions of the services that they call, so they need
not. A function's own code is imported after the fork, and so is the runtime client, which looks at the function's
variables when it is imported.

DESCRIPTOR is a stream socket. A request is one line of JSON, `{"arguments", "folder", "environment"}`, with two
descriptors: where the process's output goes, and one that it keeps open while it lives. The answer is its pid, as one
line. The server ends with the socket.
"""

import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

PRELOADED = (
    "aws_lambda_powertools.metrics",
    "aws_lambda_powertools.utilities.parameters",
    "boto3.dynamodb.types",
    "botocore.httpsession",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.hazmat.primitives.ciphers.aead",
    "cryptography.hazmat.primitives.kdf.concatkdf",
    "iso4217",
    "requests",
    "simplejson",
)
CALLED_SERVICES = ("dynamodb", "events", "kms", "secretsmanager", "sqs", "stepfunctions")


def preload() -> None:
    for name in PRELOADED:
        with suppress(ImportError):  # the functions' layers lack it
            importlib.import_module(name)
    with suppress(ImportError):
        _describe_services()


def _describe_services() -> None:
    """Let boto3's default session load the services' descriptions, which is most of the work of making a client.

    Without keys, boto3 would look for some, in the end at the instance's metadata; these open nothing. A function's
    clients look up region, endpoint and credentials themselves.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    keys: Any = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "none")
    for service in CALLED_SERVICES:
        with suppress(BotoCoreError):  # the functions' layers lack it
            boto3.client(service, **keys)  # type: ignore[call-overload]


def serve(control: socket.socket) -> None:
    preload()
    gc.collect()
    gc.freeze()  # otherwise each process's first collection would copy all these objects' pages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets the processes that have ended
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 64 * 1024, 2)
        if not message:
            return
        while not message.endswith(b"\n"):
            message += control.recv(64 * 1024)
        pid = os.fork()
        if pid == 0:
            control.close()
            become(json.loads(message), *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(b"%d\n" % pid)


def become(request: dict[str, Any], output: int, _alive: int) -> None:
    """Run the function's runtime client in this process, as if it had been started with these variables."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = request["arguments"]
    sys.path.insert(0, request["folder"])
    # What the function brings itself comes before its layers' packages.
    own = {entry.partition(".")[0] for entry in os.listdir(request["folder"])}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]

    from awslambdaric.__main__ import main

    main(sys.argv)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
