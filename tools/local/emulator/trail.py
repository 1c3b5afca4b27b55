"""CloudTrail's events, which MiniStack 1.5.33 records when told to, name who called.

For an assumed role that is the session ("CloudTrail userIdentity element", CloudTrail user guide): of a function, its
name. MiniStack has the access key there.
"""

import functools
from typing import Any

from ministack.services import cloudtrail, sts


def install() -> None:
    record_event = cloudtrail.record_event

    @functools.wraps(record_event)
    def record(*, username: str, access_key_id: str, **call: Any) -> None:
        session = sts._sessions.get(access_key_id)
        caller = session["Arn"].rsplit("/", 1)[-1] if session else username
        record_event(username=caller, access_key_id=access_key_id, **call)

    cloudtrail.record_event = record
