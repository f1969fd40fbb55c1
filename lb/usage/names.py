"""The words of the report, for the command line, which is read before anything large is loaded."""

FIELDS = ("day", "tenant", "deployment", "backend", "call", "source")
"""What a row of the store is about; a report may be by any of them."""
USUAL = ("day", "tenant", "deployment")
FORMATS = ("table", "csv", "json")
