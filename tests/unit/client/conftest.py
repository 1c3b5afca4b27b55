from tests.scripted_api import api, payments, time

__all__ = ["api", "payments", "time"]
