"""The rules of the market. Pure: nothing here does I/O while the service runs."""
