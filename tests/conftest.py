"""What must be in the environment before `functions.shared.runtime` is first imported."""

import os

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "payments")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "payments-test")
