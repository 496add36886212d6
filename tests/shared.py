"""The folder of real data beside the checkout, which is not part of the project. Tests skip where it is missing."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "shared"
