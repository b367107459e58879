"""What the kernel's complaints look like: their headlines, and what of a trace says nothing about who is guilty.

Sources, as of 6.12 and its neighbours: kernel/panic.c:__warn, lib/bug.c, arch/x86/kernel/{dumpstack,traps}.c,
arch/x86/mm/fault.c, arch/arm64/{kernel/traps,mm/fault}.c, mm/kasan/report.c, mm/kfence/report.c, mm/kmsan/report.c,
kernel/kcsan/report.c, lib/ubsan.c, kernel/locking/lockdep.c, kernel/rcu/{tree_stall,tasks}.h, kernel/watchdog*.c,
kernel/{hung_task,softirq}.c, lib/refcount.c, lib/ref_tracker.c, mm/{kmemleak,slub,page_alloc}.c,
net/core/{dev,page_pool}.c, net/sched/sch_generic.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["CONSEQUENCE", "HEADLINES", "Headline", "is_noise", "plain_symbol"]

_SYMBOL = r"(?P<function>[A-Za-z_][\w.$]*)"
_END_TRACE = re.compile(r"---\[ end (?:trace|Kernel panic)\b")
_BOX = re.compile(r"={20,}\s*$")


@dataclass(frozen=True)
class Headline:
    """One kind of headline.

    pattern: matched at the start of a message; its group `what` completes `kind` at `{}`, `function` names the guilty.
    fault: an exception of the CPU: `RIP:` or `pc :` names the guilty, and an `Oops:` line after it belongs to it.
    fatal: the kernel may panic because of it.
    timely: it depends on how fast the machine is, so that a loaded host can cause it.
    end: the line that closes the report; without one the report ends with its call trace.
    skip: frames that only say how a task waits.
    alone: one line, with no trace under it.
    stamped: so general that it counts only in a line that carries the kernel's time stamp.
    """

    pattern: re.Pattern[str]
    kind: str
    fault: bool = False
    fatal: bool = False
    timely: bool = False
    end: re.Pattern[str] | None = None
    skip: re.Pattern[str] | None = None
    alone: bool = False
    stamped: bool = False


def _fault(pattern: str, kind: str) -> Headline:
    return Headline(re.compile(pattern), kind, fault=True, fatal=True, end=_END_TRACE)


def _report(pattern: str, kind: str, end: re.Pattern[str] | None = None) -> Headline:
    return Headline(re.compile(pattern), kind, end=end)


def _line(pattern: str, kind: str) -> Headline:
    return Headline(re.compile(pattern), kind, alone=True)


def _stall(pattern: str, kind: str, *, fault: bool = True, skip: str | None = None) -> Headline:
    waiting = re.compile(skip) if skip else None
    return Headline(re.compile(pattern), kind, fault=fault, fatal=True, timely=True, skip=waiting)


_LOCKDEP = (
    "possible circular locking dependency detected|possible recursive locking detected|"
    "possible irq lock inversion dependency detected|inconsistent lock state|suspicious RCU usage|"
    r"\w+-safe -> \w+-unsafe lock order detected|bad unlock balance detected|bad contention detected|held lock freed|"
    "lock held when returning to user space|Nested lock was not taken|chain_key collision|Invalid wait context"
)
_DEVICE = r"(?:.{1,200}: )?"  # driver, bus address, name and state (net/core/dev.c:__netdev_printk)
_WAITING = r"(?:__|io_)?schedule(?:_\w+)?$|__?mutex_lock|rwsem_|down_|wait_for_|__wait_|do_wait_|bit_wait"

# Frames above the function that asked for the memory (mm/slub.c, mm/slab_common.c, mm/percpu.c, mm/vmalloc.c).
_ALLOCATORS = (
    r"kmemleak_|slab_|__?k[mvcz]*alloc|kmem_cache_|__do_kmalloc|kmemdup|kstrn?dup|kvasprintf|kasprintf|krealloc|"
    r"__vmalloc|vmalloc|vzalloc|pcpu_alloc|__alloc_percpu|__get_free_page|get_zeroed_page|__?alloc_pages|"
    r"___kmalloc|kmalloc_"
)

HEADLINES: tuple[Headline, ...] = (
    # The C code's own checks. The second form is that of 6.18 and later.
    Headline(
        re.compile(rf"WARNING: CPU: \d+ PID: \d+ at (?:\S+:\d+ )?{_SYMBOL}\+0x"), "WARNING", fault=True, end=_END_TRACE
    ),
    Headline(
        re.compile(rf"WARNING: (?:(?:.* )?\S+:\d+ )?at {_SYMBOL}\S*(?: \[[^]]*\])?, CPU#\d+"),
        "WARNING",
        fault=True,
        end=_END_TRACE,
    ),
    Headline(re.compile(r"WARNING: (?:CPU: \d+ PID: \d+ )?at \S+:\d+"), "WARNING", fault=True, end=_END_TRACE),
    _fault(r"kernel BUG at \S+:\d+!", "kernel BUG"),
    # Sanitizers.
    _report(rf"BUG: KASAN: (?P<what>[\w-]+)(?: (?:in|on) {_SYMBOL})?", "KASAN: {}", _BOX),
    _report(r"BUG: KCSAN: (?P<what>[\w-]+) in (?P<function>[\w.$]+(?: / [\w.$]+)?)?", "KCSAN: {}", _BOX),
    _report(rf"BUG: KMSAN: (?P<what>[\w-]+)(?: in {_SYMBOL})?", "KMSAN: {}", _BOX),
    _report(rf"BUG: KFENCE: (?P<what>[\w -]+?) in {_SYMBOL}", "KFENCE: {}", _BOX),
    _report(r"UBSAN: (?P<what>[\w -]+?) in \S+:\d+", "UBSAN: {}", _END_TRACE),
    # Exceptions.
    _fault(r"BUG: (?:unable to handle )?kernel NULL pointer dereference", "NULL pointer dereference"),
    _fault(r"BUG: unable to handle (?:kernel )?(?P<what>page fault|paging request)", "{}"),
    _fault(r"Unable to handle kernel (?P<what>NULL pointer dereference|[\w ]+?) at virtual", "{}"),
    _fault(r"(?:Oops: )?general protection fault\b", "general protection fault"),
    _fault(r"BUG: (?:\w+ )?stack guard page was hit", "stack overflow"),
    _fault(r"Insufficient stack space to handle exception", "stack overflow"),
    _fault(r"(?:traps: )?PANIC: (?P<what>double fault|early exception)", "{}"),
    _fault(r"Oops: (?P<what>[A-Za-z][\w -]*?)[:,]? .*\[#\d+\]", "Oops: {}"),
    _fault(r"Oops: [0-9a-f]{4,} \[#\d+\]", "Oops"),
    _fault(r"(?P<what>invalid opcode|divide error|stack segment|double fault|int3|bounds): [0-9a-f]{4} ", "Oops: {}"),
    _fault(r"Internal error: (?P<what>Oops - [\w ]+|[\w ]+)(?::| \[#\d)", "Oops: {}"),
    _fault(r"SError Interrupt on CPU\d+", "SError"),
    # Locking.
    _report(rf"(?:WARNING: |\[ (?:BUG|INFO): )(?P<what>{_LOCKDEP})", "lockdep: {}"),
    _report(r"WARNING: .{1,16}/\d+ (?P<what>still has locks held)", "lockdep: {}"),
    _report(r"INFO: (?P<what>trying to register non-static key)", "lockdep: {}"),
    _report(r"BUG: (?P<what>MAX_\w+ too low|key \S+ has not been registered)", "lockdep: {}"),
    _report(r"BUG: (?P<what>sleeping function called from invalid context)", "{}"),
    _report(r"BUG: (?P<what>scheduling while atomic)", "{}"),
    _report(r"BUG: (?P<what>using \w+\(\) in preemptible)", "{}"),
    _report(r"BUG: workqueue leaked (?P<what>atomic, lock or RCU|lock or atomic)", "workqueue leaked {}"),
    # Time passing without progress.
    _stall(r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stall", "RCU stall"),
    _stall(r"(?:NMI )?(?:watchdog: )?BUG: soft lockup", "soft lockup"),
    _stall(r"(?:NMI )?(?:watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP", "hard lockup"),
    _stall(r"BUG: workqueue lockup", "workqueue lockup", fault=False),
    _stall(
        r"INFO: task .{1,16}:\d+ blocked (?:in I/O wait )?for more than \d+", "hung task", fault=False, skip=_WAITING
    ),
    # Packets.
    Headline(re.compile(rf"{_DEVICE}hw csum failure$"), "hw csum failure", stamped=True),
    Headline(re.compile(rf"{_DEVICE}NETDEV WATCHDOG: "), "netdev watchdog", timely=True, alone=True, stamped=True),
    Headline(
        re.compile(rf"{_DEVICE}NAPI poll function {_SYMBOL}\S* .*exceeding its budget"),
        "NAPI poll exceeds its budget",
        alone=True,
        stamped=True,
    ),
    _line(r"huh, entered softirq \d+ (?P<what>\w+) ", "preempt_count changed by softirq {}"),
    # Counting and memory.
    Headline(re.compile(r"refcount_t: (?P<what>[\w; -]+)"), "refcount_t: {}", end=_END_TRACE),
    _line(r"kmemleak: \d+ new suspected memory leaks?", "kmemleak"),
    Headline(
        re.compile(r"kmemleak: unreferenced object"), "kmemleak: unreferenced object", skip=re.compile(_ALLOCATORS)
    ),
    _report(r"ref_tracker: .*has \d+/\d+ users at", "ref_tracker: users left"),
    _report(r"ref_tracker: (?P<what>reference already released|leaked reference)", "ref_tracker: {}"),
    _line(r"(?:page_pool_release_retry\(\) )?stalled pool shutdown", "page_pool: stalled pool shutdown"),
    _line(r"unregister_netdevice: waiting for \S+ to become free", "unregister_netdevice: waiting"),
    _report(r"BUG: Bad page (?P<what>state|map|cache)", "bad page {}"),
    _line(r"BUG: (?P<what>Bad rss-counter state|non-zero pgtables_bytes)", "{}"),
    _report(r"BUG \S.*? \((?:Not tainted|Tainted[^)]*)\): (?P<what>.+)", "SLUB: {}"),
    # The end.
    Headline(
        re.compile(r"Kernel panic - not syncing: (?P<what>.*)"),
        "panic: {}",
        end=re.compile(r"---\[ end Kernel panic|Kernel Offset: |Rebooting in "),
    ),
    Headline(re.compile(r"BUG: (?P<what>.+)"), "BUG: {}", stamped=True),
)

CONSEQUENCE = re.compile(
    r"Fatal exception|Oops|.*panic_on_warn set|softlockup: |hung_task: |RCU Stall|Hard LOCKUP|"
    r".*scheduling while atomic|Attempted to kill|Aiee, killing interrupt handler"
)
"""Panic messages that say no more than that an earlier complaint was fatal."""

_NOISE = re.compile(
    r"(?:__)?dump_(?:stack|backtrace)|show_(?:stack|regs|trace)|v?panic$|__?warn|warn_slowpath|report_bug|handle_bug|"
    r"exc_|asm_exc_|(?:asm_)?sysvec_|(?:asm_)?common_interrupt|do_(?:error_)?trap|do_invalid_op|invalid_op|fixup_bug|"
    r"(?:__)?die\b|die_|oops_|page_fault_oops|_*bad_area|no_context|kernelmode_fixup|do_user_addr_fault|do_kern_addr_fault|"
    r"print_(?:report|address_description|circular|bad_|usage_bug|unlock_imbalance|deadlock|irq_|lock_|trailer|cpu_stall|"
    r"other_cpu_stall|object|collision|freed|cycle)|"
    r"_*kasan_|__asan_|_*kmsan_|__msan_|_*kcsan_|__tsan_|check_region_inline|ubsan_|__ubsan_|handle_overflow|"
    r"_*might_(?:resched|sleep|fault)|__schedule_bug|check_preemption_disabled|debug_smp_processor_id|lockdep_|"
    r"check_(?:noncircular|prev|deadlock|irq|wait_context)|validate_chain|_*lock_(?:acquire|release)$|mark_(?:lock|held|usage)|"
    r"register_lock_class|assign_lock_key|debug_check_no_locks|refcount_warn_saturate|nmi_(?:handle|cpu_backtrace|trigger)|"
    r"arch_trigger_cpumask|(?:end_repeat_|default_do_|asm_exc_)?nmi$|watchdog_|(?:__)?hrtimer_|rcu_(?:sched_clock|dump|check_gp)|"
    r"update_process_times|tick_(?:sched|nohz)|(?:local_)?apic_timer|__sysvec|object_err|slab_(?:err|bug|fix)|check_(?:object|slab|bytes)|"
    r"bad_page|free_page_is_bad|el1h?_|el1h_64_|brk_handler|(?:bug|cfi|kasan)_(?:brk_)?handler|do_debug_exception|call_(?:break|el1)|"
    r"do_(?:mem_abort|translation_fault|page_fault|sp_pc_abort|el1)|(?:arm64_)?notify_die|__do_kernel_fault|error_entry|"
    r"asm_load_gs|ret_from_exception"
)
_SUFFIX = re.compile(r"\.(?:constprop|isra|part|cold|llvm|lto_priv|localalias)(?:\.\d+)*")
_BPF_TAG = re.compile(r"^bpf_prog_[0-9a-f]{16}(?=_|$)")


def plain_symbol(symbol: str) -> str:
    """A function's name as in the source: without the compiler's suffixes, and a BPF program's without its tag."""
    return _BPF_TAG.sub("bpf_prog", _SUFFIX.sub("", symbol))


def is_noise(symbol: str) -> bool:
    """A frame of the machinery that reports, not of what is reported."""
    return _NOISE.match(symbol) is not None
