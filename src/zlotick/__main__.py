"""``python -m zlotick``."""

import sys

from zlotick.cli import main

sys.exit(main())
