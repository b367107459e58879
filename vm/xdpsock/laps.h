/* SPDX-License-Identifier: GPL-2.0-only */
/* --laps: the time, or a counter, at every so many packets. A mean over a whole run has its beginning and every
 * interruption in it.
 */
#ifndef XDPSOCK_LAPS_H
#define XDPSOCK_LAPS_H

#include <linux/types.h>

/* packets: so far. at: nanoseconds, or what the counter has. */
void laps_stamp(__u64 packets, __u64 at);

/* Of each lap, how many packets and how many nanoseconds (or whatever is counted); or their spread. */
void laps_json(void);
void laps_words(const char *unit);

#endif
