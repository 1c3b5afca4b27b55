"""The payment gateways: one module or package each, which implements `PaymentGateway`."""
