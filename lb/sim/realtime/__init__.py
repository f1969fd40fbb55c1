"""WebSockets: Realtime, in its GA and preview forms, and the Responses API over one."""
