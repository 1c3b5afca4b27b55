"""`make acceptance`: everything that the product says of itself, asked of a deployment, and every raw answer kept.

On AWS it is asked of an environment that is made for it and destroyed afterwards; `docs/acceptance.md` says how to run
it. On the local stack it is asked of what `make up` started. `steps/` has the questions.
"""
