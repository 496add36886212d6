"""How options describe the values they take, where a pattern is for machines only."""

from msgspec import Meta

WORDS = "words"
"""The key under which a pattern is described in words."""

ADDRESS = Meta(pattern="^https?://", extra={WORDS: "an address that begins with http:// or https://"})
