"""HOW does a process live? Start, workers, signals, reload, drain, exit code."""
