"""`lb logs`: the JSON log stream, read back as the story of each request."""
