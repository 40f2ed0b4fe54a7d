"""``python -m equiload.experiments.report DIR``: see :mod:`equiload.experiments.report.command`."""

import sys

from equiload.experiments.report.command import main

sys.exit(main())
