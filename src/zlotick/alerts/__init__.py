"""Alerts: rules that watch the quotes, what they raised, and who is told. A reader of the journal."""
