"""From the difference of two states to ordered steps. Pure: no system call, any operating system."""
