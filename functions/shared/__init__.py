"""What the functions share: the domain, contracts, ports, adapters, and the runtime that joins them."""
