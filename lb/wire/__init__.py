"""HOW do bytes come in and go out? The only room that holds sockets of the traffic path."""
