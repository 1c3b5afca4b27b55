"""Look at payments: one in the terminal or as a page, and the whole stack as a console in the browser.

`definition`, `layout` and `mermaid` deal with state machine definitions, `history` with the course of an execution;
`records` and `payments` read a stack; `terminal`, `pages` and `app` show it. Everything here only reads.
"""
