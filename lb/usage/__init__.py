"""WHAT was used in all? A small file that outlives the process, and the report that is made from it."""
