"""BPF inside the guest, for every suite: load compiled objects and run their programs."""
