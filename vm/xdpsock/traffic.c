// SPDX-License-Identifier: GPL-2.0-only
#include "traffic.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "failure.h"
#include "laps.h"
#include "report.h"

static volatile sig_atomic_t caught, ticked;

static void on_signal(int number)
{
	caught = number;
}

static void on_tick(int number)
{
	(void)number;
	ticked = 1;
}

static void catch_signals(void)
{
	/* Once: a second one ends us at once. No SA_RESTART: poll() is to return. */
	struct sigaction stop = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	struct sigaction tick = { .sa_handler = on_tick };

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGABRT, &stop, NULL);
	sigaction(SIGALRM, &tick, NULL);
}

__u64 nanoseconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

static void end(struct run *run, const char *why)
{
	if (!run->why)
		run->why = why;
}

void run_end_by_error(struct run *run, int error)
{
	run->error = error;
	end(run, "device gone");
}

/* Ask for the next tick: when statistics are due, or the time is up. */
static void set_timer(const struct run *run)
{
	const struct options *o = run->options;
	const __u64 now = nanoseconds(CLOCK_MONOTONIC);
	__u64 due = run->reported + o->interval * SECOND, over = run->began + o->duration * SECOND;
	struct itimerval timer = { 0 };

	if (o->duration && over < due)
		due = over;
	due = (due > now ? due - now : 0) / 1000 + 1;
	timer.it_value.tv_sec = due / 1000000;
	timer.it_value.tv_usec = due % 1000000;
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void tick(struct run *run)
{
	const struct options *o = run->options;
	const __u64 now = nanoseconds(CLOCK_MONOTONIC);
	const int error = umem_error(run->umem);

	ticked = 0;
	if (error)
		run_end_by_error(run, error);
	if (o->duration && now >= run->began + o->duration * SECOND)
		end(run, "duration");
	if (now >= run->reported + o->interval * SECOND) {
		report_interval(run, now - run->reported);
		run->reported = now;
	}
	set_timer(run);
}

bool run_over(struct run *run)
{
	if (ticked)
		tick(run);
	if (caught)
		end(run, "signal");
	if (run_has_counted(run))
		end(run, "count");
	return run->why;
}

/* The time; or what the counters have, all together. */
static __u64 lap_clock(const struct options *o)
{
	__u64 sum = 0, value;

	if (!o->counters)
		return nanoseconds(CLOCK_MONOTONIC);
	for (__u32 i = 0; i < o->counters; i++) {
		if (read(o->laps_fd[i], &value, sizeof(value)) != sizeof(value))
			refused(errno, "a perf event that is pinned, and that nobody else uses", "reading --laps-fd");
		sum += value;
	}
	return sum;
}

void run_count(struct run *run, __u32 packets)
{
	const struct options *o = run->options;
	const __u64 before = run->packets;

	run->packets += packets;
	if (o->laps && run->packets / o->laps != before / o->laps)
		laps_stamp(run->packets, lap_clock(o));
}

bool run_has_counted(const struct run *run)
{
	return run->options->count && run->packets >= run->options->count;
}

__u32 run_packets_to_go(const struct run *run)
{
	const struct options *o = run->options;

	return o->count && o->count - run->packets < o->batch ? o->count - run->packets : o->batch;
}

static void prepare(struct run *run)
{
	const struct options *o = run->options;

	recipe_open(&run->recipe, o);
	run->whole = malloc(4 * LONGEST_FRAME);
	run->sent_at = calloc(o->frames, sizeof(*run->sent_at));
	if (!run->whole || !run->sent_at)
		refused(ENOMEM, "fewer --frames", "no memory");
	if (o->job == JOB_TXONLY)
		transmit_prepare(run);
	else
		buffers_refill(run);
}

void run_traffic(struct run *run, const struct options *options, struct umem *umem)
{
	const bool sends_only = options->job == JOB_TXONLY;

	*run = (struct run){ .options = options, .umem = umem };
	catch_signals();
	prepare(run);
	report_ready(run);
	run->began = run->reported = nanoseconds(CLOCK_MONOTONIC);
	set_timer(run);
	while (!run_over(run)) {
		if (options->poll)
			wakeup_wait(run, 1000);
		if (sends_only)
			transmit(run);
		else
			receive(run);
	}
	buffers_drain(run);
	run->ended = nanoseconds(CLOCK_MONOTONIC);
	free(run->whole);
	free(run->sent_at);
}
