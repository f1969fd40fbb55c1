"""Measures what a relayed request and a relayed event cost, beside other proxies. `python -m bench --help`."""
