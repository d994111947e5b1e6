"""rtnetlink: states of the lab to bytes and back, and the socket in between. Plain struct packing, a few microseconds a message."""
