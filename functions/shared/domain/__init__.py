"""Cards, payments and the ledger's journal: rules without AWS, HTTP or any third-party package."""
