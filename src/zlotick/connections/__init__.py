"""Connections: when to try again, and what state they are in."""
