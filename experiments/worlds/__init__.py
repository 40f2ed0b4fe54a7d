"""Tools around data: example files, fetching, checks as a report, portraits, calibration."""
