"""The deployed function with every logger turned on. The sweep puts this file into the function's package."""

import http.client
import importlib
import logging
import os

module, name = os.environ["TALKATIVE_HANDLER"].rsplit(".", 1)
handler = getattr(importlib.import_module(module), name)
"""As deployed; importing the handler installs the backstop."""

if os.environ["TALKATIVE_BACKSTOP"] == "off":
    logging.setLogRecordFactory(logging.LogRecord)
    del vars(http.client)["print"]

http.client.HTTPConnection.debuglevel = 1
logging.getLogger().setLevel(logging.DEBUG)
for library in ("botocore", "urllib3", "requests"):
    logging.getLogger(library).setLevel(logging.DEBUG)
    logging.getLogger(library).addHandler(logging.StreamHandler())
