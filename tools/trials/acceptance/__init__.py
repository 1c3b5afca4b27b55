"""`make acceptance`: checks a deployment against everything the product promises, and keeps every raw answer.

On AWS, the checks run against an environment that is created for them and destroyed afterwards; `docs/acceptance.md`
explains how to run them. Locally, they run against the stack that `make up` started. The checks are in `steps/`.
"""
