"""What the gateways' sandboxes have in common.

challenge.py has the page on which a customer is authenticated, faults.py the faults on demand, idempotency.py the
answers by key, performing.py what a fault does to an operation and its answer, routes.py the routes below `/sandbox`,
and server.py the HTTP server and the command that runs it.
"""
