"""A small typed binding to libbpf.so.1: load objects, reach their maps, run programs with bpf_prog_test_run_opts.

Only what the suites use, over ctypes, because a guest under TCG pays dearly for every import.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ctypes import c_char_p, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass, field
from pathlib import Path

from bpf.binding import LoadError, ProgramInfo, TestRunOpts, last_lines, library, messages

__all__ = [
    "BPF_F_TEST_XDP_LIVE_FRAMES",
    "BPF_F_XDP_DEV_BOUND_ONLY",
    "LoadError",
    "Map",
    "Object",
    "Program",
    "TestRun",
    "find_object",
    "has_function",
    "type_size",
]

BPF_F_TEST_XDP_LIVE_FRAMES = 1 << 1  # include/uapi/linux/bpf.h
BPF_F_XDP_DEV_BOUND_ONLY = 1 << 6
_BTF_KIND_STRUCT, _BTF_KIND_FUNC = 4, 12


@dataclass(frozen=True)
class TestRun:
    """What bpf_prog_test_run left behind.

    error: 0, or the errno of the system call. retval: the program's return code. duration: nanoseconds per run.
    data, ctx: the whole output buffers as they were given (b"" where none was), so that untouched bytes can be seen.
    data_size, ctx_size: the sizes the kernel reported; what was passed in where it reported none.
    """

    __test__ = False

    error: int
    retval: int
    duration: int
    data: bytes
    data_size: int
    ctx: bytes
    ctx_size: int

    @property
    def error_name(self) -> str:
        return errno.errorcode.get(self.error, str(self.error)) if self.error else "success"


class Object:
    """A BPF object file, loaded: every program verified, every map made. Close it, or use it as a context manager."""

    def __init__(
        self,
        path: Path,
        *,
        only: str = "",
        ifindex: int = 0,
        flags: int = 0,
        target: tuple[Program, str] | None = None,
        maps: Mapping[str, Map] | None = None,
    ) -> None:
        """Open and load `path`. Raises LoadError with libbpf's and the verifier's words.

        only: load no other program than this one. ifindex, flags: prog_ifindex and more prog_flags for what is loaded.
        target: the program and its function that a tracing program or an extension is for. maps: maps to use in place
        of the object's own of that name.
        """
        with messages() as heard:
            self._handle = library().bpf_object__open_file(os.fsencode(path), None)
            self._programs: dict[str, Program] = {}
            self._maps: dict[str, Map] = {}
            if not self._handle:
                reason = os.strerror(ctypes.get_errno())
                raise LoadError(f"{path.name}: cannot be opened: {reason}\n{last_lines(heard)}")
            if only or ifindex or flags or target:
                self._choose(only, ifindex, flags, target)
            for name, other in (maps or {}).items():
                library().bpf_map__reuse_fd(self._find("map", name), other.fd)
            status = library().bpf_object__load(self._handle)
            if status:
                self.close()
                reason = f"{path.name}: does not load: {os.strerror(-status)}\n{last_lines(heard)}"
                raise LoadError(reason, -status)

    def _choose(self, only: str, ifindex: int, flags: int, target: tuple[Program, str] | None) -> None:
        """Say which programs to load, and how."""
        libbpf = library()
        program = libbpf.bpf_object__next_program(self._handle, None)
        while program:
            if only and libbpf.bpf_program__name(program) != only.encode():
                libbpf.bpf_program__set_autoload(program, False)
            else:
                libbpf.bpf_program__set_ifindex(program, ifindex)
                libbpf.bpf_program__set_flags(program, libbpf.bpf_program__flags(program) | flags)
                if target:
                    libbpf.bpf_program__set_attach_target(program, target[0].fd, target[1].encode())
            program = libbpf.bpf_object__next_program(self._handle, program)

    def _find(self, what: str, name: str) -> int:
        """libbpf's handle of a program or a map."""
        find = {"program": library().bpf_object__find_program_by_name, "map": library().bpf_object__find_map_by_name}
        found = find[what](self._handle, name.encode())
        if not found:
            raise LoadError(f"no {what} named {name}")
        return int(found)

    def program(self, name: str) -> Program:
        if name not in self._programs:
            self._programs[name] = Program(name, library().bpf_program__fd(self._find("program", name)))
        return self._programs[name]

    def map(self, name: str) -> Map:
        if name not in self._maps:
            found = self._find("map", name)
            self._maps[name] = Map(name, library().bpf_map__fd(found), library().bpf_map__value_size(found))
        return self._maps[name]

    @contextmanager
    def attached(self, name: str) -> Iterator[None]:
        """A tracing program or an extension at its target for as long as the block runs. Raises LoadError."""
        with messages() as heard:
            link = library().bpf_program__attach(self._find("program", name))
            error = ctypes.get_errno()
        if not link:
            raise LoadError(f"{name}: does not attach: {os.strerror(error)}\n{last_lines(heard)}", error)
        try:
            yield
        finally:
            library().bpf_link__destroy(link)

    def close(self) -> None:
        """Let go of everything: what is mapped into memory would keep its map alive."""
        for each in self._maps.values():
            each.unmap()
        if self._handle:
            library().bpf_object__close(self._handle)
            self._handle = None

    def __enter__(self) -> Object:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Map:
    """A map of a loaded object, with 32-bit keys."""

    name: str
    fd: int
    value_size: int
    _mapped: list[mmap.mmap] = field(default_factory=list, repr=False, compare=False)

    def memory(self) -> mmap.mmap:
        """The values of a BPF_F_MMAPABLE array map as shared memory, key 0 first. Gone when the object is closed."""
        self._mapped.append(mmap.mmap(self.fd, self.value_size))
        return self._mapped[-1]

    def unmap(self) -> None:
        while self._mapped:
            self._mapped.pop().close()

    def update(self, key: int, value: int | bytes) -> int:
        """Set a value: 32 bits (a file descriptor, for a map of programs), or whole bytes. Gives 0 or the errno."""
        data = value if isinstance(value, bytes) else value.to_bytes(4, sys.byteorder)
        assert len(data) == self.value_size, f"{self.name} takes values of {self.value_size} bytes, not {len(data)}"
        status = library().bpf_map_update_elem(self.fd, ctypes.byref(c_uint32(key)), data, c_uint64(0))
        return abs(int(status))

    @staticmethod
    @contextmanager
    def made(kind: int, value_size: int, entries: int = 1) -> Iterator[Map]:
        """A map of no object, gone at the block's end. kind: BPF_MAP_TYPE_*. Raises LoadError."""
        fd = library().bpf_map_create(kind, b"made", 4, value_size, entries, None)
        if fd < 0:
            raise LoadError(f"no map of type {kind}: {os.strerror(-fd)}", -fd)
        try:
            yield Map("made", fd, value_size)
        finally:
            os.close(fd)

    def delete(self, key: int) -> int:
        """Remove a key. Gives 0 or the errno."""
        return abs(int(library().bpf_map_delete_elem(self.fd, ctypes.byref(c_uint32(key)))))


@dataclass(frozen=True)
class Program:
    """A loaded program."""

    name: str
    fd: int

    def test_run(
        self,
        data: bytes,
        *,
        out: int | None = None,
        ctx: bytes | None = None,
        ctx_out: int | None = None,
        repeat: int = 0,
        flags: int = 0,
        batch_size: int = 0,
    ) -> TestRun:
        """Run it over `data` with BPF_PROG_TEST_RUN (kernel: bpf_prog_test_run).

        out, ctx_out: bytes of output buffer to offer, None for no buffer at all. Buffers start filled with 0xEE.
        ctx: a struct xdp_md, or None. Never raises: the errno is in the result.
        """
        data_buffer = _filled(out)
        ctx_buffer = _filled(ctx_out)
        options = TestRunOpts(
            sz=ctypes.sizeof(TestRunOpts),
            data_in=ctypes.cast(c_char_p(data), c_void_p),
            data_size_in=len(data),
            data_out=ctypes.cast(data_buffer, c_void_p) if data_buffer is not None else None,
            data_size_out=out or 0,
            ctx_in=ctypes.cast(c_char_p(ctx), c_void_p) if ctx is not None else None,
            ctx_size_in=len(ctx) if ctx is not None else 0,
            ctx_out=ctypes.cast(ctx_buffer, c_void_p) if ctx_buffer is not None else None,
            ctx_size_out=ctx_out or 0,
            repeat=repeat,
            flags=flags,
            batch_size=batch_size,
        )
        status = library().bpf_prog_test_run_opts(self.fd, ctypes.byref(options))
        return TestRun(
            error=-status if status < 0 else 0,
            retval=options.retval,
            duration=options.duration,
            data=data_buffer.raw if data_buffer is not None else b"",
            data_size=options.data_size_out,
            ctx=ctx_buffer.raw if ctx_buffer is not None else b"",
            ctx_size=options.ctx_size_out,
        )

    def entry(self) -> int:
        """Address of its first instruction in the kernel's JIT image; 0 where the kernel does not tell, or has none."""
        return _entry(self.fd)

    def test_runs(self, data: bytes, times: int, *, ctx: bytes | None = None) -> None:
        """Run it so many times, each on a frame of its own, with no output: one system call each and little else.

        Raises OSError with the errno of the first that fails.
        """
        options = TestRunOpts(
            sz=ctypes.sizeof(TestRunOpts),
            data_in=ctypes.cast(c_char_p(data), c_void_p),
            data_size_in=len(data),
            ctx_in=ctypes.cast(c_char_p(ctx), c_void_p) if ctx is not None else None,
            ctx_size_in=len(ctx) if ctx is not None else 0,
        )
        run, reference = library().bpf_prog_test_run_opts, ctypes.byref(options)
        for _ in range(times):
            options.data_size_out = 0
            status = run(self.fd, reference)
            if status:
                raise OSError(-status, f"{self.name}: test_run: {os.strerror(-status)}")


def _filled(size: int | None) -> ctypes.Array[ctypes.c_char] | None:
    """A buffer of 0xEE, one guard page longer than the kernel is told."""
    if size is None:
        return None
    buffer = ctypes.create_string_buffer(size + 4096)
    ctypes.memset(buffer, 0xEE, size + 4096)
    return buffer


def find_object(suite: str, name: str) -> Path:
    """The compiled object of suites/`suite`/bpf/`name`.bpf.c: $KTRIAL_BPF_DIR/`suite`/`name`.bpf.o."""
    directory = os.environ.get("KTRIAL_BPF_DIR")
    if not directory:
        raise LoadError("KTRIAL_BPF_DIR is not set: it names the folder of compiled BPF objects")
    path = Path(directory) / suite / f"{name}.bpf.o"
    if not path.is_file():
        raise LoadError(f"{path} is missing: compile suites/{suite}/bpf/{name}.bpf.c first")
    return path


def type_size(name: str) -> int | None:
    """sizeof(struct `name`) of the running kernel, from its BTF; None where it has no BTF or no such struct."""
    with _kernel_types() as btf:
        found = library().btf__find_by_name_kind(btf, name.encode(), _BTF_KIND_STRUCT) if btf else 0
        return int(library().btf__resolve_size(btf, found)) if found > 0 else None


def has_function(name: str) -> bool:
    """Whether the running kernel's BTF has a function of that name (a kfunc, say)."""
    with _kernel_types() as btf:
        return bool(btf) and library().btf__find_by_name_kind(btf, name.encode(), _BTF_KIND_FUNC) > 0


@contextmanager
def _kernel_types() -> Iterator[int | None]:
    """The running kernel's BTF, None where it has none."""
    with messages():
        btf = library().btf__load_vmlinux_btf()
        try:
            yield btf
        finally:
            if btf:
                library().btf__free(btf)


def entry_of(program: int) -> int:
    """Program.entry() of a program that is somebody else's, by its id."""
    fd = library().bpf_prog_get_fd_by_id(program)
    if fd < 0:
        raise OSError(-fd, f"program {program}: {os.strerror(-fd)}")
    try:
        return _entry(fd)
    finally:
        os.close(fd)


def _entry(fd: int) -> int:
    addresses = (c_uint64 * 1)()
    info = ProgramInfo(nr_jited_ksyms=1, jited_ksyms=ctypes.addressof(addresses))
    length = c_uint32(ctypes.sizeof(info))
    status = library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(length))
    return 0 if status else int(addresses[0])
