"""Runs the stack on one machine: the AWS emulator and the gateways' sandboxes in the background, with Terraform."""

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from tools.deployment.build import Target, build, runtime_client
from tools.deployment.paths import BUILD, FUNCTIONS, ROOT, STACK_FILE
from tools.deployment.polling import wait_for
from tools.deployment.private import PRIVATE_UMASK, open_private, private_folder, write_private
from tools.deployment.rollout import apply_until_live
from tools.deployment.stack import Stack, StackError, api_curlrc, sandbox_curlrc
from tools.deployment.terraform import Terraform, TerraformError, program
from tools.local.events import signing_secret
from tools.local.processes import process

REGION = "us-east-1"
STATE_BUCKET = "terraform-state"
EMULATOR, LISTENER = "emulator", "listener"
DEFAULT_GATEWAY = "sparkle"
# Where a service listens if no port was chosen and these are free.
_EMULATOR_PORT, _SANDBOX_PORT, _LISTENER_PORT = 4566, 4567, 4569
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 15

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Service:
    """A background process of the stack, as recorded in `processes.json`.

    `keys` are the credentials that it accepts, by the environment variables that pass them to it: every user of the
    machine could read them in its arguments.
    """

    module: str
    pid: int
    port: int
    health_path: str
    keys: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_key(self) -> str:
        """The only key of a service that has one."""
        [key] = self.keys.values()
        return key

    @property
    def event_secret(self) -> str:
        """The secret with which a sandbox signs its events, or with which those for the listener are signed."""
        return signing_secret(self.api_key)

    def owns_its_pid(self) -> bool:
        """Return whether the process is still ours, since the system reuses pids."""
        owner = process(self.pid)
        return owner is not None and self.module in owner.arguments

    def healthy(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(self.url + self.health_path, timeout=2).ok
        return False

    def becomes_healthy(self) -> bool:
        """Wait until the service is healthy; False if it ends before, or takes longer than START_TIMEOUT_SECONDS."""
        wait_for(lambda: self.healthy() or not self.owns_its_pid(), START_TIMEOUT_SECONDS)
        return self.healthy()

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        if not wait_for(lambda: not self.owns_its_pid(), STOP_TIMEOUT_SECONDS):
            os.kill(self.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Machine:
    """One local stack. Its logs, state and process ids are in `home`; `stack_file` tells other programs where it is.

    `gateways` names those whose sandboxes run; if there are several, each takes the same share of the payments. If none
    is named, those that run already go on, or else DEFAULT_GATEWAY is started. `ports` are chosen ports by the name of
    the service. Any other service takes its usual port, or any free one if that is taken or `usual_ports` is False.
    """

    home: Path = BUILD / "local"
    stack_file: Path = STACK_FILE
    gateways: Sequence[str] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    usual_ports: bool = True
    emulator_environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> "Machine":
        """Take the gateways from the variable `GATEWAY`, and the services' ports from `EMULATOR_PORT`, `SPARKLE_PORT`
        and so on, if they are set. Raises StackError."""
        names = (EMULATOR, LISTENER, *gateways_with_sandbox())
        ports = {name: os.environ.get(f"{name.upper()}_PORT", "") for name in names}
        for name, port in ports.items():
            if port and not (port.isdecimal() and 0 < int(port) < 65536):
                raise StackError(f"{name.upper()}_PORT must be a port number, not {port!r}.")
        return cls(gateways=wanted_gateways(), ports={name: int(port) for name, port in ports.items() if port})

    def up(self, say: Say, progress: Say = lambda text: None) -> Stack:
        """Start the services that do not run yet, deploy, and write the stack file. Safe to repeat.

        `say` reports each step, `progress` the progress of a long one. Raises StackError and TerraformError.
        """
        program()  # fails before anything is started if there is no Terraform
        with self._alone():
            say("Building the functions and their layer")
            build(Target.host(), progress)
            try:
                stack = self._start_and_deploy(say, progress)
            except TerraformError as error:
                if self.stack_file.exists():
                    raise
                # The half-deployed resources would make a second try fail. Starting over loses nothing, since no stack
                # was in use yet.
                say(f"Starting over, as the first deployment failed: {error}")
                say(f"The emulator's log is in {self._keep_log()}")
                stack = self._start_and_deploy(say, progress)
            stack.save(self.stack_file)
        return stack

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Start or stop the stack in one command at a time: a second one would end what the first has just started.

        Raises StackError if another command is doing so. The system ends the lock with the process.
        """
        private_folder(self.home)
        folder = os.open(self.home, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(
                    "Another command is starting or stopping this stack. Wait for it, or end it with Ctrl-C."
                ) from None
            yield
        finally:
            os.close(folder)

    def _keep_log(self) -> Path:
        """Rename the emulator's log, so that the next emulator does not overwrite it, and return its new path."""
        return (self.home / "emulator.log").replace(self.home / "emulator.failed.log")

    def _start_and_deploy(self, say: Say, progress: Say) -> Stack:
        services = self._running_services()
        gateways = self.gateways or _sandboxes(services) or (DEFAULT_GATEWAY,)
        for name in [name for name in _sandboxes(services) if name not in gateways]:
            services.pop(name).stop()
        for name in [name for name in gateways if name not in services]:
            say(f"Starting the sandbox of {name.capitalize()}")
            self._start_sandbox(services, name)
        if LISTENER not in services:
            self._start_listener(services)
        if "emulator" in services and not self.stack_file.exists():
            services.pop("emulator").stop()  # half deployed
        if "emulator" not in services:
            # The emulator keeps everything in memory, so the resources of an earlier one are gone.
            self._forget()
            say("Starting the AWS emulator")
            self._start_emulator(services)
        self._wait_until_healthy(services)
        return self._deploy(services, say, progress)

    def down(self) -> list[str]:
        """Stop the services that `up` started, and return the names of those that were running. Raises StackError."""
        with self._alone():
            services = {name: service for name, service in self._services().items() if service.owns_its_pid()}
            for service in services.values():
                service.stop()
            self._processes_file.unlink(missing_ok=True)
            self._forget()
        return sorted(services)

    def _forget(self) -> None:
        """Remove the files that describe an emulator that is gone, with its keys."""
        shutil.rmtree(self.home / "configuration", ignore_errors=True)
        for file in (
            self._keys_file,
            self.stack_file,
            api_curlrc(self.stack_file),
            sandbox_curlrc(self.stack_file),
        ):
            file.unlink(missing_ok=True)

    @property
    def _keys_file(self) -> Path:
        return Terraform("local", home=self.home).keys_file

    @property
    def _processes_file(self) -> Path:
        return self.home / "processes.json"

    def _services(self) -> dict[str, Service]:
        try:
            remembered = json.loads(self._processes_file.read_text())
            return {name: Service(**service) for name, service in remembered.items()}
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def _running_services(self) -> dict[str, Service]:
        running = {}
        for name, service in self._services().items():
            if not service.owns_its_pid():
                continue
            if service.healthy():
                running[name] = service
            else:
                service.stop()
        return running

    def _remember(self, services: dict[str, Service]) -> None:
        write_private(self._processes_file, json.dumps({name: asdict(service) for name, service in services.items()}))

    def _start_sandbox(self, services: dict[str, Service], name: str) -> None:
        # All sandboxes have one key, so that the stack needs one file for curl.
        api_key = next((services[other].api_key for other in _sandboxes(services)), f"sk_test_{secrets.token_hex(16)}")
        port, keys = self._free_port(name, _SANDBOX_PORT), {f"{name.upper()}_API_KEY": api_key}
        self._start(services, name, ["--port", str(port)], port, "/sandbox/health", keys)

    def _start_listener(self, services: dict[str, Service]) -> None:
        port, keys = self._free_port(LISTENER, _LISTENER_PORT), {"LISTENER_API_KEY": secrets.token_hex(16)}
        self._start(services, LISTENER, ["--port", str(port)], port, "/sandbox/health", keys)

    def _start_emulator(self, services: dict[str, Service]) -> None:
        port = self._free_port(EMULATOR, _EMULATOR_PORT)
        environment = {
            "RUNTIME_CLIENT_DIR": str(runtime_client()),
            "MINISTACK_REGION": REGION,
            **self.emulator_environment,
        }
        arguments = ["--port", str(port), "--data-dir", str(self.home / "emulator")]
        keys = {
            "OPERATOR_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
            "OPERATOR_SECRET_ACCESS_KEY": secrets.token_hex(20),
        }
        self._start(services, EMULATOR, arguments, port, "/_ministack/health", keys, environment)

    def _start(
        self,
        services: dict[str, Service],
        name: str,
        arguments: list[str],
        port: int,
        health_path: str,
        keys: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a service, and record it at once, so that it can be stopped even if it never becomes healthy."""
        module = f"tools.local.{name}"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        started = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**clean, **(environment or {}), **keys},
            stdin=subprocess.DEVNULL,
            stdout=open_private(self.home / f"{name}.log"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=PRIVATE_UMASK,
        )
        services[name] = Service(module, started.pid, port, health_path, keys)
        self._remember(services)

    def _wait_until_healthy(self, services: Mapping[str, Service]) -> None:
        for name, service in services.items():
            if not service.becomes_healthy():
                if service.owns_its_pid():
                    service.stop()
                log = self.home / f"{name}.log"
                tail = "\n".join(log.read_text().splitlines()[-15:])
                raise StackError(f"{name} did not start. The end of {log}:\n{tail}")

    def _free_port(self, name: str, usual: int) -> int:
        chosen = self.ports.get(name)
        for port in (chosen,) if chosen else (usual, 0) if self.usual_ports else (0,):
            with socket.socket() as probe, suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
            if chosen:
                raise StackError(f"Port {port} is taken. Free it, or choose another: {name.upper()}_PORT=… make up")
        raise StackError("This machine has no free port.")

    def event_secret(self, gateway: str) -> str:
        """The secret with which the gateway's sandbox signs its events."""
        return self._services()[gateway].event_secret

    def send_events(self) -> None:
        """Let the sandboxes of a running stack send their events to its API, as after `up`."""
        _send_events(self._services(), Stack.load(self.stack_file).api_url)

    def terraform(self) -> Terraform:
        """Return Terraform, configured as in `up`, for a running stack."""
        Stack.load(self.stack_file)  # if there is no stack, its error says what to do
        return self._terraform(self._services())

    def _terraform(self, services: Mapping[str, Service]) -> Terraform:
        target, names = Target.host(), _sandboxes(services)
        environment = {
            "AWS_ENDPOINT_URL": services["emulator"].url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": services["emulator"].keys["OPERATOR_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": services["emulator"].keys["OPERATOR_SECRET_ACCESS_KEY"],
            "TF_VAR_gateways": json.dumps({name: {"url": services[name].url} for name in names}),
            "TF_VAR_gateway_keys": json.dumps({name: services[name].api_key for name in names}),
            "TF_VAR_gateway_event_secrets": json.dumps({name: [services[name].event_secret] for name in names}),
            "TF_VAR_gateway_routes": json.dumps(equal_shares(names)),
            "TF_VAR_webhooks": json.dumps({LISTENER: {"url": f"{services[LISTENER].url}/webhooks"}}),
            "TF_VAR_webhook_secrets": json.dumps({LISTENER: [services[LISTENER].event_secret]}),
            "TF_VAR_lambda_runtime": target.runtime,
            "TF_VAR_lambda_architecture": target.architecture,
        }
        return Terraform("local", self.home, STATE_BUCKET, environment)

    def _deploy(self, services: Mapping[str, Service], say: Say, progress: Say) -> Stack:
        emulator = services[EMULATOR]
        terraform = replace(self._terraform(services), progress=lambda first: nullcontext(progress))
        terraform.client("s3").create_bucket(Bucket=STATE_BUCKET)
        say("Initialising Terraform")
        origin = terraform.init()
        say(f"Deploying with Terraform (AWS provider from {origin}); the first time takes a minute")
        outputs = apply_until_live(terraform, say)
        api_url = f"{emulator.url}/_aws/execute-api/{outputs['api_id']}/{outputs['stage_name']}"
        _send_events(services, api_url)
        return Stack.from_outputs(
            outputs,
            api_url=api_url,
            aws_endpoint_url=emulator.url,
            access_key_id=emulator.keys["OPERATOR_ACCESS_KEY_ID"],
            secret_access_key=emulator.keys["OPERATOR_SECRET_ACCESS_KEY"],
            gateways={
                name: {"url": services[name].url, "api_key": services[name].api_key, "sandbox": True}
                for name in _sandboxes(services)
            },
            listener={
                "url": services[LISTENER].url,
                "api_key": services[LISTENER].api_key,
                "secret": services[LISTENER].event_secret,
            },
        )


def _send_events(services: Mapping[str, Service], api_url: str) -> None:
    """Let the sandboxes send their events to the API."""
    for name in _sandboxes(services):
        sandbox = services[name]
        answer = requests.post(
            f"{sandbox.url}/sandbox/events",
            json={"url": f"{api_url}/gateway-events/{name}", "secret": sandbox.event_secret},
            headers={"Authorization": f"Bearer {sandbox.api_key}"},
            timeout=10,
        )
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise StackError(f"The sandbox of {name} is an earlier version's. Run make down, and then make up.")
        answer.raise_for_status()


def gateways_with_sandbox() -> tuple[str, ...]:
    """The names of the gateways that have both an adapter and a sandbox."""
    adapters, sandboxes = FUNCTIONS / "shared" / "adapters" / "gateways", Path(__file__).parent.glob("*/__main__.py")
    return tuple(sorted(file.parent.name for file in sandboxes if (adapters / file.parent.name).exists()))


def wanted_gateways() -> tuple[str, ...]:
    """The gateways that the variable `GATEWAY` names, separated by blanks. Raises StackError if one has no sandbox."""
    with_sandbox, names = gateways_with_sandbox(), tuple(dict.fromkeys(os.environ.get("GATEWAY", "").split()))
    if unknown := [name for name in names if name not in with_sandbox]:
        raise StackError(f"GATEWAY: {', '.join(unknown)} has no sandbox. These have one: {', '.join(with_sandbox)}.")
    return names


def equal_shares(gateways: Sequence[str]) -> list[dict[str, Any]]:
    """Terraform's `gateway_routes` by which each gateway takes the same share of the payments."""
    # Each route's percentage is that of what the routes before it have left over.
    return [{"gateway": name, "percent": round(100 / (len(gateways) - n))} for n, name in enumerate(gateways)]


def _sandboxes(services: Mapping[str, Service]) -> tuple[str, ...]:
    """The names of the services that are gateways' sandboxes."""
    return tuple(sorted(name for name in services if name not in (EMULATOR, LISTENER)))
