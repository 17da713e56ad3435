"""`python -m dbn_lite` is `dbn-lite`."""

import sys

from .cli import main

sys.exit(main())
