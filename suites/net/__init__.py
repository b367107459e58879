"""Networking inside the guest, for every suite: links, namespaces, whole frames, XDP programs on devices."""
