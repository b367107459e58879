"""libbpf.so.1 over ctypes: the functions that `bpf.libbpf` calls, their types, and what they have to say."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, Structure, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p

__all__ = ["LoadError", "ProgramInfo", "TestRunOpts", "last_lines", "library", "messages"]

_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


class LoadError(Exception):
    """An object or a program that the kernel (or libbpf) refuses. Its text ends with the verifier's log.

    errno: of the refusal, 0 where there is none.
    """

    def __init__(self, text: str, errno: int = 0) -> None:
        super().__init__(text)
        self.errno = errno


class TestRunOpts(Structure):
    """struct bpf_test_run_opts of libbpf 1.0 and later."""

    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


class ProgramInfo(Structure):
    """struct bpf_prog_info (include/uapi/linux/bpf.h), up to its jited_ksyms."""

    _fields_ = (
        ("before", c_uint32 * 26),
        ("nr_jited_ksyms", c_uint32),
        ("nr_jited_func_lens", c_uint32),
        ("jited_ksyms", c_uint64),
    )


@functools.cache
def library() -> ctypes.CDLL:
    """libbpf.so.1, its functions' types declared."""
    loaded = ctypes.CDLL("libbpf.so.1", use_errno=True)
    signatures = {
        "bpf_object__open_file": (c_void_p, c_char_p, c_void_p),
        "bpf_object__load": (c_int, c_void_p),
        "bpf_object__close": (None, c_void_p),
        "bpf_object__find_program_by_name": (c_void_p, c_void_p, c_char_p),
        "bpf_object__find_map_by_name": (c_void_p, c_void_p, c_char_p),
        "bpf_object__next_program": (c_void_p, c_void_p, c_void_p),
        "bpf_program__fd": (c_int, c_void_p),
        "bpf_obj_get_info_by_fd": (c_int, c_int, c_void_p, c_void_p),
        "bpf_prog_get_fd_by_id": (c_int, c_uint32),
        "bpf_program__name": (c_char_p, c_void_p),
        "bpf_program__set_autoload": (c_int, c_void_p, c_bool),
        "bpf_program__set_ifindex": (None, c_void_p, c_uint32),
        "bpf_program__flags": (c_uint32, c_void_p),
        "bpf_program__set_flags": (c_int, c_void_p, c_uint32),
        "bpf_program__set_attach_target": (c_int, c_void_p, c_int, c_char_p),
        "bpf_program__set_log_level": (c_int, c_void_p, c_uint32),
        "bpf_program__set_log_buf": (c_int, c_void_p, c_char_p, c_size_t),
        "bpf_program__attach": (c_void_p, c_void_p),
        "bpf_link__destroy": (c_int, c_void_p),
        "bpf_map__reuse_fd": (c_int, c_void_p, c_int),
        "bpf_map_create": (c_int, c_uint32, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p),
        "bpf_map__fd": (c_int, c_void_p),
        "bpf_map__value_size": (c_uint32, c_void_p),
        "bpf_map_update_elem": (c_int, c_int, c_void_p, c_void_p, c_uint64),
        "bpf_map_lookup_elem": (c_int, c_int, c_void_p, c_void_p),
        "bpf_map_delete_elem": (c_int, c_int, c_void_p),
        "bpf_prog_test_run_opts": (c_int, c_int, POINTER(TestRunOpts)),
        "btf__load_vmlinux_btf": (c_void_p,),
        "btf__find_by_name_kind": (c_int, c_void_p, c_char_p, c_uint32),
        "btf__resolve_size": (ctypes.c_int64, c_void_p, c_uint32),
        "btf__free": (None, c_void_p),
        "libbpf_set_print": (c_void_p, c_void_p),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


@contextmanager
def messages() -> Iterator[list[str]]:
    """Collect what libbpf has to say (the verifier's log among it) instead of letting it print."""
    heard: list[str] = []
    libc = ctypes.CDLL(None)

    def hear(level: int, template: bytes, arguments: int) -> int:
        text = ctypes.create_string_buffer(1 << 16)
        libc.vsnprintf(text, c_size_t(len(text)), template, c_void_p(arguments))
        if level < 2:  # LIBBPF_WARN and LIBBPF_INFO; DEBUG is far too much
            heard.append(text.value.decode("utf-8", "replace"))
        return 0

    callback = _PRINT(hear)
    before = library().libbpf_set_print(ctypes.cast(callback, c_void_p))
    try:
        yield heard
    finally:
        library().libbpf_set_print(before)


def last_lines(heard: list[str], lines: int = 30) -> str:
    """The end of what was said: the verifier's log may be thousands of lines, and its verdict is the last of them."""
    return "\n".join("".join(heard).splitlines()[-lines:])
