"""Puts changed functions into service on any stack, as a deployment does: publishes versions and updates their
callers."""

import re
from collections.abc import Collection

from tools.deployment.stack import Stack


def put_into_service(stack: Stack, functions: Collection[str]) -> None:
    """Publish the functions with these short names as they are now, and let all callers call these versions."""
    functions_client, states = stack.client("lambda"), stack.client("stepfunctions")
    versions = {}
    for function in functions:
        name = stack.function_name(function)
        versions[name] = functions_client.publish_version(FunctionName=name)["Version"]
        for alias in functions_client.list_aliases(FunctionName=name)["Aliases"]:
            functions_client.update_alias(FunctionName=name, Name=alias["Name"], FunctionVersion=versions[name])

    def with_new_versions(match: re.Match[str]) -> str:
        return f"{match[1]}:{versions.get(match[1], match[2])}"

    for machine in states.list_state_machines()["stateMachines"]:
        arn = machine["stateMachineArn"]
        definition = states.describe_state_machine(stateMachineArn=arn)["definition"]
        changed = re.sub(rf"({re.escape(stack.prefix)}-\w+):(\d+)", with_new_versions, definition)
        if changed != definition:
            answer = states.update_state_machine(stateMachineArn=arn, definition=changed, publish=True)
            share = {"stateMachineVersionArn": answer["stateMachineVersionArn"], "weight": 100}
            states.update_state_machine_alias(stateMachineAliasArn=f"{arn}:live", routingConfiguration=[share])
