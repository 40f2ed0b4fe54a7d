"""How much the tests of faults try: ``make faults`` sets ``FAULTS``, so many times as much."""

import os

FAULTS = int(os.environ.get("FAULTS", "1"))
