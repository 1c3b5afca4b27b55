"""The DynamoDB tables: the ledger, from which nobody deletes; the stored cards; and what is forgotten after a while."""
