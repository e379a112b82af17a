"""The supervisor that travels: it runs one child, records it, and ends its run truthfully."""
