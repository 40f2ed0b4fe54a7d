"""Programs: running, results, reports, trainers, hostile advice, data; :mod:`.cli` is the door."""
