"""The checks of ``zlotick doctor`` that need several rooms at once."""
