"""What came of runs: rows, tables, statistics, histories, published numbers."""
