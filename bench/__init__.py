"""What ktrial costs and how far it can be trusted, measured: `python -m bench NAME`, or `make bench` for all."""
