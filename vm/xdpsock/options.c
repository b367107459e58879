// SPDX-License-Identifier: GPL-2.0-only
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "failure.h"

#define MIN_FRAME 64
#define MAX_FRAME (64 * 1024)
#define MAX_SOCKETS 64

/* Long options without a letter. */
enum { NO_LETTER = 256, FORCE, MAP, ETHERTYPE, HEADROOM, FRAMES, RING_SIZE, SOCKETS, VERIFY, TX_METADATA, LAPS, LAPS_FD, JSON,
       READY_FD };

static const struct {
	int letter;
	const char *name, *argument, *help; /* a row without a name is a heading */
} table[] = {
	{ 0, NULL, NULL, "What to do" },
	{ 'r', "rxdrop", NULL, "receive frames and drop them (the default)" },
	{ 't', "txonly", NULL, "send frames" },
	{ 'l', "l2fwd", NULL, "send received frames back, MAC addresses swapped" },
	{ 'i', "interface", "NAME", "the network interface" },
	{ 'q', "queue", "N", "its queue (0)" },
	{ 'd', "duration", "SECONDS", "stop after so long" },
	{ 'C', "tx-pkt-count", "N", "stop after so many packets (received ones with -r)" },

	{ 0, NULL, NULL, "How to bind" },
	{ 'S', "xdp-skb", NULL, "generic XDP and copy mode" },
	{ 'N', "xdp-native", NULL, "native XDP or nothing (without -S and -N: native, else generic)" },
	{ 'z', "zero-copy", NULL, "zero-copy mode or nothing" },
	{ 'c', "copy", NULL, "copy mode" },
	{ 'm', "no-need-wakeup", NULL, "bind without the need-wakeup flag" },
	{ 'F', "frags", NULL, "multi-buffer: frames larger than a chunk (Linux 6.6)" },
	{ FORCE, "force", NULL, "replace an XDP program that is attached" },
	{ MAP, "map", "PATH", "put sockets into this pinned XSKMAP, and attach no program" },
	{ ETHERTYPE, "ethertype", "HEX", "receive only frames of this type, leave others to the stack; send this type" },
	{ 'R', "reduce-cap", NULL, "give up all capabilities once everything is bound" },

	{ 0, NULL, NULL, "Memory" },
	{ 'f', "frame-size", "BYTES", "size of a chunk: 2048 or 4096 (4096), any up to a page with -u" },
	{ 'u', "unaligned", NULL, "chunks anywhere in the umem, in huge pages where there are any" },
	{ 'M', "shared-umem", NULL, "4 sockets on the queue, sharing umem, fill and completion ring" },
	{ SOCKETS, "sockets", "N", "as -M, with this many" },
	{ FRAMES, "frames", "N", "chunks in the umem (4096)" },
	{ RING_SIZE, "ring-size", "N", "entries of the rx, tx and completion rings; the fill ring has twice as many (2048)" },
	{ HEADROOM, "headroom", "BYTES", "room before each received frame (0)" },

	{ 0, NULL, NULL, "How to wait" },
	{ 'p', "poll", NULL, "sleep in poll() until there is something to do" },
	{ 'B', "busy-poll", NULL, "drive the device from our system calls (SO_PREFER_BUSY_POLL)" },
	{ 'b', "batch-size", "N", "packets at a time (64)" },
	{ 'O', "retries", "N", "seconds to wait for the last completions (3)" },

	{ 0, NULL, NULL, "What to send (-t)" },
	{ 's', "tx-pkt-size", "BYTES", "length of a frame (64)" },
	{ 'P', "tx-pkt-pattern", "HEX", "what to fill it with (0x12345678)" },
	{ 'G', "tx-dmac", "MAC", "to (3c:fd:fe:9e:7f:71)" },
	{ 'H', "tx-smac", "MAC", "from (ec:b1:d7:98:3a:c0)" },
	{ 'V', "tx-vlan", NULL, "with a VLAN tag" },
	{ 'J', "tx-vlan-id", "N", "its VLAN (1)" },
	{ 'K', "tx-vlan-pri", "N", "its priority (0)" },
	{ 'T', "tx-cycle", "MICROSECONDS", "a batch every so often" },
	{ 'y', "tstamp", NULL, "the time in each frame, as pktgen puts it" },
	{ TX_METADATA, "tx-metadata", "LIST", "ask for timestamp, checksum, sw-checksum (Linux 6.8)" },

	{ 0, NULL, NULL, "What to tell" },
	{ 'n', "interval", "SECONDS", "time between statistics (1)" },
	{ 'x', "extra-stats", NULL, "with what the kernel counted (XDP_STATISTICS)" },
	{ 'a', "app-stats", NULL, "with our system calls" },
	{ 'I', "irq-string", "NAME", "with interrupts of this name in /proc/interrupts" },
	{ 'Q', "quiet", NULL, "no statistics" },
	{ LAPS, "laps", "N", "the time at every Nth packet: nanoseconds a packet, in the summary" },
	{ LAPS_FD, "laps-fd", "N,...", "counters in its place: 64 bits read from each descriptor (perf_event_open)" },
	{ JSON, "json", NULL, "no statistics, one JSON object at the end" },
	{ VERIFY, "verify", NULL, "number and fill what is sent; check every byte and number of what is received" },
	{ READY_FD, "ready-fd", "N", "write a line to this descriptor when all is bound" },
	{ 'w', "clock", "NAME", "REALTIME, TAI, BOOTTIME or MONOTONIC (the default), for -T and -y" },
	{ 'W', "policy", "NAME", "scheduling: SCHED_OTHER, SCHED_FIFO or SCHED_RR" },
	{ 'U', "schpri", "N", "priority in it" },
	{ 'h', "help", NULL, "this text" },
};

#define ROWS (sizeof(table) / sizeof(table[0]))

static void print_help(void)
{
	printf("Usage: xdpsock -i INTERFACE [-r | -t | -l] [OPTION]...\n"
	       "Receive, send or forward Ethernet frames through AF_XDP sockets, and keep account of every buffer.\n");
	for (size_t i = 0; i < ROWS; i++) {
		char names[64];

		if (!table[i].name) {
			printf("\n%s:\n", table[i].help);
			continue;
		}
		snprintf(names, sizeof(names), "--%s%s%s", table[i].name, table[i].argument ? "=" : "",
			 table[i].argument ? table[i].argument : "");
		if (table[i].letter < NO_LETTER)
			printf("  -%c, %-27s %s\n", table[i].letter, names, table[i].help);
		else
			printf("      %-27s %s\n", names, table[i].help);
	}
	printf("\nExit status: 0 fine, 1 refused by the kernel, 2 bad usage, 3 a frame or a buffer came back wrong,\n"
	       "4 the device went away.\n"
	       "\nExamples:\n"
	       "  xdpsock -i eth0 -q 2 -r -z             how fast queue 2 receives without copying\n"
	       "  xdpsock -i eth0 -t -s 1500 -C 1000000  send a million frames\n"
	       "  xdpsock -i eth0 -l -p -F -f 4096       return jumbo frames, sleeping while there are none\n");
}

/* base: 0 for ten, or sixteen behind 0x; never eight, for in people's scripts 010 is ten (atoi). */
static __u64 number(const char *option, const char *text, int base, __u64 least, __u64 most)
{
	char *end;
	__u64 value;

	if (!base)
		base = strncasecmp(text, "0x", 2) ? 10 : 16;
	errno = 0;
	value = strtoull(text, &end, base);
	if (errno || end == text || *end || *text == '-' || value < least || value > most)
		bad_usage("--%s: '%s' is not a number from %llu to %llu", option, text, least, most);
	return value;
}

static void mac(const char *option, const char *text, __u8 *address)
{
	const struct ether_addr *parsed = ether_aton(text);

	if (!parsed)
		bad_usage("--%s: '%s' is not an address like aa:bb:cc:dd:ee:ff", option, text);
	memcpy(address, parsed, 6);
}

/* The value of a name in a list; exits where it is not there. */
static int named(const char *option, const char *text, const char *const *names, const int *values)
{
	for (int i = 0; names[i]; i++)
		if (!strcasecmp(names[i], text))
			return values[i];
	bad_usage("--%s: no such thing as '%s'", option, text);
}

static clockid_t clock_named(const char *text)
{
	static const char *const names[] = { "REALTIME", "TAI", "BOOTTIME", "MONOTONIC", NULL };
	static const int values[] = { CLOCK_REALTIME, CLOCK_TAI, CLOCK_BOOTTIME, CLOCK_MONOTONIC };

	return named("clock", text, names, values);
}

static int policy_named(const char *text)
{
	static const char *const names[] = { "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", NULL };
	static const int values[] = { SCHED_OTHER, SCHED_FIFO, SCHED_RR };

	return named("policy", text, names, values);
}

static void tx_metadata(struct options *o, char *list)
{
	for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		if (!strcmp(word, "timestamp"))
			o->tx_timestamp = true;
		else if (!strcmp(word, "checksum"))
			o->tx_checksum = true;
		else if (!strcmp(word, "sw-checksum"))
			o->tx_checksum = o->tx_sw_checksum = true;
		else
			bad_usage("--tx-metadata: '%s' is none of timestamp, checksum, sw-checksum", word);
	}
}

static void counters(struct options *o, const char *name, char *list)
{
	for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		if (o->counters == MOST_COUNTERS)
			bad_usage("--%s: more than %u descriptors", name, MOST_COUNTERS);
		o->laps_fd[o->counters++] = number(name, word, 0, 0, 1 << 20);
	}
}

static void set_flag(struct options *o, int letter)
{
	switch (letter) {
	case 'r': o->job = JOB_RXDROP; break;
	case 't': o->job = JOB_TXONLY; break;
	case 'l': o->job = JOB_L2FWD; break;
	case 'S': o->attach = ATTACH_SKB; o->copy = true; break;
	case 'N': o->attach = ATTACH_NATIVE; break;
	case 'z': o->zero_copy = true; break;
	case 'c': o->copy = true; break;
	case 'm': o->need_wakeup = false; break;
	case 'F': o->frags = true; break;
	case FORCE: o->force = true; break;
	case 'R': o->reduce_cap = true; break;
	case 'u': o->unaligned = true; break;
	case 'M': o->sockets = 4; break;
	case 'p': o->poll = true; break;
	case 'B': o->busy_poll = true; break;
	case 'V': o->vlan = true; break;
	case 'y': o->tstamp = true; break;
	case 'x': o->extra_stats = true; break;
	case 'a': o->app_stats = true; break;
	case 'Q': o->quiet = true; break;
	case JSON: o->json = o->quiet = true; break;
	case VERIFY: o->verify = true; break;
	}
}

static void set_value(struct options *o, int letter, const char *name, char *text)
{
	switch (letter) {
	case 'i': o->interface = text; break;
	case 'q': o->queue = number(name, text, 0, 0, 65535); break;
	case 'd': o->duration = number(name, text, 0, 0, 1 << 30); break;
	case 'C': o->count = number(name, text, 0, 0, 1ULL << 62); break;
	case MAP: o->map = text; break;
	case ETHERTYPE: o->ethertype = number(name, text, 16, 0, 0xffff); break;
	case 'f': o->frame_size = number(name, text, 0, 1, 1 << 20); break;
	case SOCKETS: o->sockets = number(name, text, 0, 1, MAX_SOCKETS); break;
	case FRAMES: o->frames = number(name, text, 0, 1, 1 << 24); break;
	case RING_SIZE: o->ring_size = number(name, text, 0, 1, 1 << 24); break;
	case HEADROOM: o->headroom = number(name, text, 0, 0, 1 << 16); break;
	case 'b': o->batch = number(name, text, 0, 1, 1 << 20); break;
	case 'O': o->retries = number(name, text, 0, 0, 1 << 20); break;
	case 's': o->size = number(name, text, 0, MIN_FRAME, MAX_FRAME); break;
	case 'P': o->pattern = number(name, text, 16, 0, 0xffffffff); break;
	case 'G': mac(name, text, o->dmac); break;
	case 'H': mac(name, text, o->smac); break;
	case 'J': o->vlan_id = number(name, text, 0, 1, 4095); break;
	case 'K': o->vlan_priority = number(name, text, 0, 0, 7); break;
	case 'T': o->cycle_us = number(name, text, 0, 0, 1 << 30); break;
	case TX_METADATA: tx_metadata(o, text); break;
	case LAPS: o->laps = number(name, text, 0, 1, 1 << 30); break;
	case LAPS_FD: counters(o, name, text); break;
	case 'n': o->interval = number(name, text, 0, 1, 1 << 30); break;
	case 'I': o->interrupt = text; break;
	case READY_FD: o->ready_fd = number(name, text, 0, 0, 1 << 20); break;
	case 'w': o->clock = clock_named(text); break;
	case 'W': o->policy = policy_named(text); break;
	case 'U': o->priority = number(name, text, 0, 0, 99); break;
	}
}

static void check(struct options *o)
{
	if (!o->interface)
		bad_usage("which interface? -i NAME");
	o->ifindex = if_nametoindex(o->interface);
	if (!o->ifindex)
		refused(errno, "ip link shows the interfaces of this network namespace", "interface %s", o->interface);
	if (o->zero_copy && o->copy)
		bad_usage("zero-copy (-z) and copy mode (-c, -S) exclude each other");
	if (!o->unaligned && o->frame_size & (o->frame_size - 1))
		bad_usage("--frame-size: %u is not a power of two (-u takes any)", o->frame_size);
	if (o->ring_size & (o->ring_size - 1))
		bad_usage("--ring-size: %u is not a power of two", o->ring_size);
	if (o->job == JOB_TXONLY && !o->frags && o->size > o->frame_size)
		bad_usage("frames of %u bytes do not fit into chunks of %u: -F sends them in several buffers", o->size,
			  o->frame_size);
	if (o->counters && !o->laps)
		bad_usage("--laps-fd is read at every Nth packet: --laps=N");
	if (o->poll && o->cycle_us)
		bad_usage("--poll and --tx-cycle exclude each other");
	if (o->verify && o->tstamp)
		bad_usage("--verify and --tstamp both want the payload");
	if (o->tx_checksum && o->ethertype)
		bad_usage("--tx-metadata=checksum is of the UDP frames that --ethertype replaces");
}

static const struct options defaults = {
	.need_wakeup = true,
	.frame_size = 4096,
	.frames = 4096,
	.ring_size = 2048,
	.sockets = 1,
	.batch = 64,
	.retries = 3,
	.size = MIN_FRAME,
	.pattern = 0x12345678,
	.vlan_id = 1,
	.dmac = { 0x3c, 0xfd, 0xfe, 0x9e, 0x7f, 0x71 },
	.smac = { 0xec, 0xb1, 0xd7, 0x98, 0x3a, 0xc0 },
	.clock = CLOCK_MONOTONIC,
	.policy = SCHED_OTHER,
	.interval = 1,
	.ready_fd = -1,
};

void parse_options(struct options *options, int argc, char **argv)
{
	struct option long_options[ROWS + 1] = { 0 };
	char letters[2 * ROWS + 2] = ":", *letter = letters + 1;
	int rows = 0, found, at;

	for (size_t i = 0; i < ROWS; i++) {
		if (!table[i].name)
			continue;
		long_options[rows++] = (struct option){ table[i].name, !!table[i].argument, NULL, table[i].letter };
		if (table[i].letter < NO_LETTER)
			letter += sprintf(letter, "%c%s", table[i].letter, table[i].argument ? ":" : "");
	}
	*options = defaults;
	while ((found = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
		if (found == ':')
			bad_usage("%s needs a value", argv[optind - 1]);
		if (found == '?')
			bad_usage("no such option: %s", argv[optind - 1]);
		if (found == 'h') {
			print_help();
			exit(EXIT_FINE);
		}
		for (at = 0; long_options[at].val != found; at++)
			;
		set_flag(options, found);
		set_value(options, found, long_options[at].name, optarg);
		failures_in_json(options->json);
	}
	if (optind < argc)
		bad_usage("what is '%s' for?", argv[optind]);
	check(options);
}

const char *job_name(enum job job)
{
	return job == JOB_RXDROP ? "rxdrop" : job == JOB_TXONLY ? "txonly" : "l2fwd";
}
