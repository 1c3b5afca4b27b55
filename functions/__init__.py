"""The Lambda functions of the payment workflow, one package each, in the order of the states that call them."""
