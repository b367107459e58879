/* SPDX-License-Identifier: GPL-2.0 */
/* A TCG plugin of QEMU: which instructions ran, and which data the kernel's touched, between marks.
 *
 * The guest's programs make marks with an instruction that does nothing else, a 7-byte nop whose displacement says
 * what is meant (suites/marks.py, vm/xdpsock/laps.c); entering one of the kernel's clock functions is a mark as well.
 * Between two marks the plugin counts how often each translation block ran, and the data cache lines that one of the
 * kernel was the first to touch for a packet. What the counts mean, functions and packets, is for the reader
 * (harness/perf/trace.py).
 *
 * The file, in the byte order of the machine:
 *   header  "KTPROF1\0"
 *   block   u8 'T', u32 id, u16 insns, u64 address, u8 size of each instruction
 *   mark    u8 'M', u8 kind, u32 value, u32 packets, u32 n, then n times: u32 block, u32 runs, u32 lines
 *   end     u8 'E', u32 marks
 * A block comes before the first mark that counts it. kind: enum mark_kind. A mark's counts are since the one before.
 *
 * One vCPU only: nothing here is locked, and icount has no other.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

#define KERNEL (1ull << 63) /* set in all its addresses */
#define MAGIC 0x4bu	    /* of a nop's displacement, uppermost byte */
#define LINE_SHIFT 6
#define LINES (1u << 18) /* slots of the table of lines; a line that finds no slot counts again */
#define PROBES 16
#define MAX_CLOCKS 8
#define MOST (1ull << 30) /* bytes of a trace: a guest that marks for ever shall not fill the host's disk */

enum nop {
	NOP_STOP,
	NOP_START,
	NOP_ENTRY_LOW, /* the lower and upper halves of an address in the last 4 GiB: where a packet begins */
	NOP_ENTRY_HIGH,
	NOP_CLOCK, /* a program read a clock of its own; the value is the clock's number */
};

enum mark_kind { MARK_START = 'B', MARK_STOP = 'E', MARK_CLOCK = 'C' };

struct block {
	uint64_t address;
	uint32_t id; /* 0 until it is written */
	uint32_t runs;
	uint32_t lines;
	struct block **begun; /* what ran where it was broken off, by the last instruction; or NULL */
	bool counted; /* since the last mark */
	uint16_t insns;
	uint8_t sizes[];
};

struct line {
	uint64_t number;
	uint64_t packet;
};

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_API;

static FILE *out;
static uint64_t written;
static bool armed, with_lines, full;
static uint64_t entry; /* of the program that every packet runs once */
static uint64_t packet; /* number of the packet, over all marks */
static uint32_t packets, marks, blocks;
static struct block *current;
static struct block **counted; /* since the last mark */
static size_t n_counted, room;
static uint64_t clocks[MAX_CLOCKS];
static unsigned int n_clocks;
static struct line lines[LINES];

static void put(const void *from, size_t size)
{
	if (fwrite(from, size, 1, out) != 1) {
		fprintf(stderr, "profile: cannot write: %s\n", strerror(errno));
		abort();
	}
	written += size;
}

static void put_u8(uint8_t value) { put(&value, sizeof(value)); }
static void put_u16(uint16_t value) { put(&value, sizeof(value)); }
static void put_u32(uint32_t value) { put(&value, sizeof(value)); }
static void put_u64(uint64_t value) { put(&value, sizeof(value)); }

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static void write_block(struct block *block)
{
	block->id = ++blocks;
	put_u8('T');
	put_u32(block->id);
	put_u16(block->insns);
	put_u64(block->address);
	put(block->sizes, block->insns);
}

static void mark(enum mark_kind kind, uint32_t value)
{
	size_t i;

	if (written > MOST)
		full = true; /* without its end, the trace is one that was cut short */
	if (full)
		return;
	for (i = 0; i < n_counted; i++)
		if (!counted[i]->id)
			write_block(counted[i]);
	put_u8('M');
	put_u8(kind);
	put_u32(value);
	put_u32(packets);
	put_u32(n_counted);
	for (i = 0; i < n_counted; i++) {
		put_u32(counted[i]->id);
		put_u32(counted[i]->runs);
		put_u32(counted[i]->lines);
		counted[i]->runs = counted[i]->lines = 0;
		counted[i]->counted = false;
	}
	n_counted = 0;
	packets = 0;
	marks++;
}

static void on_nop(unsigned int vcpu, void *data)
{
	uint32_t word = (uintptr_t)data, value = word & 0xfffff;

	switch ((word >> 20) & 0xf) {
	case NOP_START:
		mark(MARK_START, value);
		armed = true;
		break;
	case NOP_STOP:
		armed = false;
		mark(MARK_STOP, value);
		fflush(out);
		break;
	case NOP_ENTRY_LOW:
		entry = (entry & ~0xffffull) | (value & 0xffff);
		break;
	case NOP_ENTRY_HIGH:
		entry = 0xffffffff00000000ull | (uint64_t)(value & 0xffff) << 16 | (entry & 0xffff);
		break;
	case NOP_CLOCK:
		if (armed)
			mark(MARK_CLOCK, value);
		break;
	}
}

static void on_clock(unsigned int vcpu, void *data)
{
	if (armed)
		mark(MARK_CLOCK, (uintptr_t)data);
}

static struct block *new_block(uint64_t address, size_t insns)
{
	struct block *block = must(calloc(1, sizeof(*block) + insns));

	block->address = address;
	block->insns = insns;
	return block;
}

static void count(struct block *block)
{
	if (!block->counted) {
		if (n_counted == room) {
			room = room ? 2 * room : 4096;
			counted = must(realloc(counted, room * sizeof(*counted)));
		}
		counted[n_counted++] = block;
		block->counted = true;
	}
	block->runs++;
}

static void on_block(unsigned int vcpu, void *data)
{
	struct block *block = data;

	current = block;
	if (!armed)
		return;
	count(block);
	if (block->address == entry) {
		packet++;
		packets++;
	}
}

/* Whether nobody touched this line for the present packet. */
static bool is_first_touch(uint64_t number)
{
	uint32_t slot = (number * 0x9e3779b97f4a7c15ull) >> 46, i, oldest = slot & (LINES - 1);

	for (i = 0; i < PROBES; i++) {
		struct line *line = &lines[(slot + i) & (LINES - 1)];

		if (line->number == number) {
			bool first = line->packet != packet;

			line->packet = packet;
			return first;
		}
		if (line->packet < lines[oldest].packet)
			oldest = (slot + i) & (LINES - 1);
	}
	lines[oldest] = (struct line){ number, packet };
	return true;
}

/* With icount an instruction that touches a device's registers has to end its block. One that does not breaks it off
 * (cpu_io_recompile in QEMU): it runs in a block of its own, which calls back for memory alone, and what follows it in
 * another. So the block that was broken off ran up to that instruction.
 */
static void replay(struct block *one)
{
	uint64_t address;
	unsigned int i;

	if (!current || one->insns != 1 || !current->runs)
		return;
	for (i = 0, address = current->address; i < current->insns && address < one->address; i++)
		address += current->sizes[i];
	if (i == current->insns || address != one->address)
		return;
	if (!current->begun)
		current->begun = must(calloc(current->insns, sizeof(*current->begun)));
	if (!current->begun[i]) {
		current->begun[i] = new_block(current->address, i + 1);
		memcpy(current->begun[i]->sizes, current->sizes, i + 1);
	}
	current->runs--;
	count(current->begun[i]);
	current = NULL;
}

static void on_memory(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
	struct block *block = data;

	if (!armed)
		return;
	/* QEMU 7.2 calls back for blocks that did not ask. */
	if (current != block)
		replay(block);
	else if (block->runs && is_first_touch(address >> LINE_SHIFT))
		block->lines++;
}

static uint32_t nop_word(const struct qemu_plugin_insn *insn)
{
	static const uint8_t nop[] = { 0x0f, 0x1f, 0x80 };
	uint8_t bytes[7];
	uint32_t word;

	if (qemu_plugin_insn_size(insn) != sizeof(bytes))
		return 0;
#if PLUGIN_API >= 3
	qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
#else
	memcpy(bytes, qemu_plugin_insn_data(insn), sizeof(bytes));
#endif
	memcpy(&word, bytes + sizeof(nop), sizeof(word));
	return !memcmp(bytes, nop, sizeof(nop)) && word >> 24 == MAGIC ? word : 0;
}

static void look_for_nops(struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb), i;

	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint32_t word = nop_word(insn);

		if (word)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_nop, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)word);
	}
}

static void look_for_clock(struct qemu_plugin_insn *insn)
{
	unsigned int i;

	for (i = 0; i < n_clocks; i++)
		if (qemu_plugin_insn_vaddr(insn) == clocks[i])
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_clock, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)i);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	const bool kernel = qemu_plugin_tb_vaddr(tb) & KERNEL;
	size_t n = qemu_plugin_tb_n_insns(tb), i;
	struct block *block = new_block(qemu_plugin_tb_vaddr(tb), n);

	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
	if (!kernel)
		look_for_nops(tb);
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		block->sizes[i] = qemu_plugin_insn_size(insn);
		if (!kernel)
			continue;
		look_for_clock(insn);
		if (with_lines)
			qemu_plugin_register_vcpu_mem_cb(insn, on_memory, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
							 block);
	}
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
	if (!full) {
		put_u8('E');
		put_u32(marks);
	}
	fclose(out);
}

static bool take(const char *argument)
{
	if (!strncmp(argument, "out=", 4))
		return !out && (out = fopen(argument + 4, "wb"));
	if (!strncmp(argument, "clock=", 6) && n_clocks < MAX_CLOCKS) {
		clocks[n_clocks++] = strtoull(argument + 6, NULL, 16);
		return true;
	}
	if (!strcmp(argument, "lines=on") || !strcmp(argument, "lines=off")) {
		with_lines = argument[7] == 'n';
		return true;
	}
	return false;
}

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (!take(argv[i])) {
			fprintf(stderr, "profile: %s: cannot be used\n", argv[i]);
			return -1;
		}
	if (!out) {
		fprintf(stderr, "profile: out=FILE is missing\n");
		return -1;
	}
	put("KTPROF1", 8);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
