"""The payment gateways: one package each, which implements `PaymentGateway`, and the modules that they share."""
