"""The market in a terminal: a live table (Textual), and the same rows as plain text for pipes and scripts."""
