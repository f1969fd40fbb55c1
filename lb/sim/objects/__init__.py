"""Objects that one resource keeps: files, conversations, vector stores and the like. One module for each family.

Each has `WAYS`, its operations by method and path; `shelf` keeps, finds and lists, `missing` says what is not there.
"""
