"""Look at payments: one in the terminal or as a page, and the whole stack as a console in the browser.

`definition`, `layout` and `mermaid` know state machines as they are written; `history` what an execution made of one;
`ledger` and `payments` read a stack; `terminal`, `pages` and `app` show it. Everything here only reads.
"""
