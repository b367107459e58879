// SPDX-License-Identifier: GPL-2.0-only
#include "report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"
#include "laps.h"

static const char *xdp_mode;

void report_open(const char *mode)
{
	xdp_mode = mode;
}

void report_ready(const struct run *run)
{
	const int fd = run->options->ready_fd;

	if (fd < 0)
		return;
	dprintf(fd, "bound\n");
	close(fd);
}

/* --- while it runs --- */

/* A figure's value at the last report. Figures are reported in a fixed order, a socket's before the next one's. */
static double rate(__u64 now, __u64 *before, __u64 elapsed)
{
	const double per_second = elapsed ? (now - *before) * 1e9 / elapsed : 0;

	*before = now;
	return per_second;
}

static void row(const char *name, __u64 now, __u64 *before, __u64 elapsed)
{
	printf("%-18s %-14.0f %-14llu\n", name, rate(now, before, elapsed), now);
}

static void heading(const char *per_second, const char *total)
{
	printf("%-18s %-14s %-14s", "", per_second, total);
}

static const char *mode_word(void)
{
	return !strcmp(xdp_mode, "native") ? "drv" : xdp_mode;
}

static const char *copies(const struct run *run)
{
	return run->umem->zero_copy ? " zero-copy" : "";
}

static void socket_interval(const struct run *run, __u32 at, __u64 elapsed)
{
	static __u64 before[64][8];
	const struct options *o = run->options;
	const struct socket *socket = &run->umem->socket[at];
	struct xdp_statistics kernel;

	printf("\n sock%u@%s:%u %s xdp-%s%s\n", at, o->interface, o->queue, job_name(o->job), mode_word(), copies(run));
	heading("pps", "pkts");
	printf(" %.2f\n", elapsed / 1e9);
	row("rx", socket->received.packets, &before[at][0], elapsed);
	row("tx", socket->sent.packets, &before[at][1], elapsed);
	if (!o->extra_stats)
		return;
	kernel = socket_statistics(socket);
	row("rx dropped", kernel.rx_dropped, &before[at][2], elapsed);
	row("rx invalid", kernel.rx_invalid_descs, &before[at][3], elapsed);
	row("tx invalid", kernel.tx_invalid_descs, &before[at][4], elapsed);
	row("rx queue full", kernel.rx_ring_full, &before[at][5], elapsed);
	row("fill ring empty", kernel.rx_fill_ring_empty_descs, &before[at][6], elapsed);
	row("tx ring empty", kernel.tx_ring_empty_descs, &before[at][7], elapsed);
}

static void calls_interval(const struct run *run, __u64 elapsed)
{
	static struct calls before;
	const struct calls *now = &run->umem->calls;
	const struct cycle *cycle = &run->cycle;

	heading("calls/s", "count");
	printf("\n");
	row("rx empty polls", now->rx_empty_polls, &before.rx_empty_polls, elapsed);
	row("fill fail polls", now->fill_fail_polls, &before.fill_fail_polls, elapsed);
	row("copy tx sendtos", now->copy_tx_sendtos, &before.copy_tx_sendtos, elapsed);
	row("tx wakeup sendtos", now->tx_wakeup_sendtos, &before.tx_wakeup_sendtos, elapsed);
	row("opt polls", now->opt_polls, &before.opt_polls, elapsed);
	if (cycle->count)
		printf("%-18s late by %llu to %llu ns, %llu on average, in %llu cycles of %u us\n", "Cyclic TX", cycle->least,
		       cycle->most, cycle->lateness / cycle->count, cycle->count, run->options->cycle_us);
}

/* How often it came, on all processors: the columns of numbers in its line of /proc/interrupts. */
static __u64 interrupts(const char *name)
{
	FILE *file = fopen("/proc/interrupts", "re");
	char line[8192];
	__u64 sum = 0;

	while (file && fgets(line, sizeof(line), file)) {
		const char *at = strchr(line, ':');
		unsigned long long count;
		int length;

		if (!strstr(line, name) || !at)
			continue;
		for (at++; sscanf(at, " %llu%n", &count, &length) == 1; at += length)
			sum += count;
	}
	if (file)
		fclose(file);
	return sum;
}

void report_interval(const struct run *run, __u64 elapsed)
{
	static __u64 interrupts_before;
	const struct options *o = run->options;

	if (o->quiet)
		return;
	for (__u32 i = 0; i < run->umem->sockets; i++)
		socket_interval(run, i, elapsed);
	if (o->app_stats)
		calls_interval(run, elapsed);
	if (o->interrupt) {
		heading("intrs/s", "count");
		printf("\n");
		row(o->interrupt, interrupts(o->interrupt), &interrupts_before, elapsed);
	}
	fflush(stdout);
}

/* --- at the end --- */

static void traffic_json(const char *name, const struct traffic *traffic)
{
	printf("\"%s\": {\"packets\": %llu, \"bytes\": %llu, \"buffers\": %llu}", name, traffic->packets, traffic->bytes,
	       traffic->buffers);
}

static void add(struct traffic *sum, const struct traffic *more)
{
	sum->packets += more->packets;
	sum->bytes += more->bytes;
	sum->buffers += more->buffers;
}

static void sums(const struct run *run, struct traffic *received, struct traffic *sent)
{
	*received = *sent = (struct traffic){ 0 };
	for (__u32 i = 0; i < run->umem->sockets; i++) {
		add(received, &run->umem->socket[i].received);
		add(sent, &run->umem->socket[i].sent);
	}
}

#define YES(value) ((value) ? "true" : "false")

static void bound_json(const struct run *run)
{
	const struct options *o = run->options;

	printf(" \"job\": \"%s\", \"interface\": \"%s\", \"queue\": %u,\n", job_name(o->job), o->interface, o->queue);
	printf(" \"bound\": {\"xdp\": \"%s\", \"zero_copy\": %s, \"need_wakeup\": %s, \"multi_buffer\": %s, \"unaligned\": %s, "
	       "\"busy_poll\": %s, \"poll\": %s, \"sockets\": %u, \"frame_size\": %u, \"headroom\": %u},\n",
	       xdp_mode, YES(run->umem->zero_copy), YES(o->need_wakeup), YES(o->frags), YES(o->unaligned),
	       YES(o->busy_poll), YES(o->poll), o->sockets, o->frame_size, o->headroom);
}

static void kernel_json(const struct run *run)
{
	const struct xdp_statistics k = umem_statistics(run->umem);

	printf(" \"kernel\": {\"rx_dropped\": %llu, \"rx_invalid_descs\": %llu, \"tx_invalid_descs\": %llu, "
	       "\"rx_ring_full\": %llu, \"rx_fill_ring_empty_descs\": %llu, \"tx_ring_empty_descs\": %llu},\n",
	       k.rx_dropped, k.rx_invalid_descs, k.tx_invalid_descs, k.rx_ring_full, k.rx_fill_ring_empty_descs,
	       k.tx_ring_empty_descs);
}

static void sockets_json(const struct run *run)
{
	printf(" \"sockets\": [");
	for (__u32 i = 0; i < run->umem->sockets; i++) {
		printf("%s{", i ? ", " : "");
		traffic_json("rx", &run->umem->socket[i].received);
		printf(", ");
		traffic_json("tx", &run->umem->socket[i].sent);
		printf("}");
	}
	printf("],\n");
}

/* Chunks given through the fill ring that are neither back nor waiting in it. */
static __u64 held_for_receiving(const struct umem *umem)
{
	return ledger_outstanding(&umem->ledger, OWNER_FILL) - ring_waiting(&umem->fill);
}

static void buffers_json(const struct run *run)
{
	const struct ledger *l = &run->umem->ledger;

	printf(" \"buffers\": {\"chunks\": %u, \"fill_given\": %llu, \"fill_returned\": %llu, \"fill_waiting\": %u, "
	       "\"fill_held\": %llu, \"tx_given\": %llu, \"tx_returned\": %llu, \"duplicates\": %llu, \"strangers\": %llu},\n",
	       l->chunks, l->given[OWNER_FILL], l->returned[OWNER_FILL],
	       run->options->job == JOB_TXONLY ? 0 : ring_waiting(&run->umem->fill), held_for_receiving(run->umem),
	       l->given[OWNER_TX], l->returned[OWNER_TX], l->duplicates, l->strangers);
}

static void verification_json(const struct run *run)
{
	const struct verification *v = &run->verification;

	if (!run->options->verify || run->options->job == JOB_TXONLY)
		return;
	printf(" \"verify\": {\"checked\": %llu, \"not_stamped\": %llu, \"bad_length\": %llu, \"bad_bytes\": %llu, "
	       "\"lost\": %llu, \"reordered\": %llu, \"duplicate\": %llu},\n",
	       v->checked, v->not_stamped, v->bad_length, v->bad_bytes, v->lost, v->reordered, v->duplicate);
}

static void metadata_json(const struct run *run)
{
	const struct completions *c = &run->completions;

	if (!run->umem->tx_metadata_len)
		return;
	printf(" \"tx_metadata\": {\"timestamps\": %llu, \"before_sending\": %llu, \"latency_ns\": {\"least\": %llu, "
	       "\"average\": %llu, \"most\": %llu}},\n",
	       c->with_timestamp, c->before_sending, c->latency_least,
	       c->with_timestamp > c->before_sending ? c->latency_sum / (c->with_timestamp - c->before_sending) : 0,
	       c->latency_most);
}

static void summary_json(const struct run *run, int status)
{
	const struct calls *calls = &run->umem->calls;
	struct traffic received, sent;

	sums(run, &received, &sent);
	printf("{\n");
	bound_json(run);
	printf(" \"ended\": \"%s\", \"seconds\": %.6f, \"exit\": %d,\n ", run->why, (run->ended - run->began) / 1e9, status);
	traffic_json("rx", &received);
	printf(", ");
	traffic_json("tx", &sent);
	printf(",\n");
	sockets_json(run);
	kernel_json(run);
	buffers_json(run);
	verification_json(run);
	metadata_json(run);
	if (run->options->laps)
		laps_json();
	printf(" \"calls\": {\"rx_empty_polls\": %llu, \"fill_fail_polls\": %llu, \"copy_tx_sendtos\": %llu, "
	       "\"tx_wakeup_sendtos\": %llu, \"polls\": %llu}\n}\n",
	       calls->rx_empty_polls, calls->fill_fail_polls, calls->copy_tx_sendtos, calls->tx_wakeup_sendtos,
	       calls->opt_polls);
}

static void summary_words(const struct run *run)
{
	const struct ledger *l = &run->umem->ledger;
	const struct verification *v = &run->verification;
	struct traffic received, sent;

	sums(run, &received, &sent);
	printf("\n%s on %s:%u, bound xdp-%s%s; ended: %s, after %.2f s\n", job_name(run->options->job),
	       run->options->interface, run->options->queue, mode_word(), copies(run), run->why,
	       (run->ended - run->began) / 1e9);
	printf("received %llu packets, %llu bytes; sent %llu packets, %llu bytes\n", received.packets, received.bytes,
	       sent.packets, sent.bytes);
	laps_words(run->options->counters ? "counts" : "ns");
	if (ledger_outstanding(l, OWNER_TX))
		printf("%llu buffers sent and not completed\n", ledger_outstanding(l, OWNER_TX));
	if (l->duplicates || l->strangers)
		printf("WRONG: the kernel gave back %llu buffers that it did not have, and %llu outside the umem\n",
		       l->duplicates, l->strangers);
	if (run->options->verify && run->options->job != JOB_TXONLY)
		printf("%schecked %llu: %llu of another length, %llu of other bytes, %llu twice, %llu not ours; %llu lost, "
		       "%llu late\n",
		       verification_failed(v) ? "WRONG: " : "", v->checked, v->bad_length, v->bad_bytes, v->duplicate,
		       v->not_stamped, v->lost, v->reordered);
}

int report_summary(const struct run *run)
{
	const struct ledger *l = &run->umem->ledger;
	int status = EXIT_FINE;

	if (run->error)
		status = EXIT_DEVICE_GONE;
	if (l->duplicates || l->strangers || verification_failed(&run->verification))
		status = EXIT_BROKEN;
	if (run->options->json) {
		summary_json(run, status);
	} else {
		if (run->ended - run->reported > SECOND / 100)
			report_interval(run, run->ended - run->reported);
		summary_words(run);
	}
	return status;
}
