"""``python -m zlotick``."""

import sys

if not sys.flags.safe_path:
    # The working folder: a custom provider is a module that is installed, or a file that the settings name.
    del sys.path[0]

from zlotick.cli import main

sys.exit(main())
