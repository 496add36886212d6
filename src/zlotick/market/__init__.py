"""What is true of the market: pure, no I/O while it runs."""
