// SPDX-License-Identifier: GPL-2.0-only
#include "laps.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST 4096 /* the last ones are kept; a power of two */

struct stamp {
	__u64 packets, at;
};

static struct stamp stamps[MOST];
static __u64 count; /* of stamps, overwritten ones included */

/* For vm/profile: here a clock was read, number 2 of harness/perf/profile.py. Nobody else sees more than a nop. */
static void mark(void)
{
#ifdef __x86_64__
	asm volatile(".byte 0x0f, 0x1f, 0x80; .long 0x4b400002");
#endif
}

void laps_stamp(__u64 packets, __u64 at)
{
	mark();
	stamps[count++ % MOST] = (struct stamp){ packets, at };
}

static __u64 oldest(void)
{
	return count > MOST ? count - MOST : 0;
}

void laps_json(void)
{
	printf(" \"laps\": [");
	for (__u64 i = oldest() + 1; i < count; i++) {
		const struct stamp *from = &stamps[(i - 1) % MOST], *to = &stamps[i % MOST];

		printf("%s[%llu, %llu]", i == oldest() + 1 ? "" : ", ", to->packets - from->packets, to->at - from->at);
	}
	printf("],\n");
}

static int ascending(const void *one, const void *other)
{
	const double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

void laps_words(const char *unit)
{
	static double each[MOST];
	__u32 laps = 0;

	for (__u64 i = oldest() + 1; i < count; i++) {
		const struct stamp *from = &stamps[(i - 1) % MOST], *to = &stamps[i % MOST];

		each[laps++] = (double)(to->at - from->at) / (to->packets - from->packets);
	}
	if (!laps)
		return;
	qsort(each, laps, sizeof(each[0]), ascending);
	printf("%u laps: %.1f %s a packet at least, %.1f in the median, %.1f at most\n", laps, each[0], unit,
	       each[laps / 2], each[laps - 1]);
}
