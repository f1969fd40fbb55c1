"""WHO is listening? Observers turn the spine's events into log lines and numbers."""
