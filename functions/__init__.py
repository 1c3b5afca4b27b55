"""The Lambda functions of the payment workflow, one package each, in the order of the states that call them."""

import gc
import os

# A start on Lambda creates modules, classes and clients, and drops hardly anything, but the garbage collector would
# search them again and again: a twelfth of the start. functions/shared/runtime/frame.py enables it afterwards.
if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    gc.disable()
