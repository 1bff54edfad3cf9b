"""skitaid: keeps one server running for each file in servers-enabled, and the agents beside them."""
