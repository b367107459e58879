/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames: how those that are sent look, and whether those that are received look as they should.
 *
 * A frame that is sent is Ethernet, a VLAN tag with -V, then IPv4 and UDP to the discard port, or nothing of these
 * with --ethertype; then its payload. With --verify the payload begins with a stamp of three big-endian words
 * (STAMP_MAGIC, the frame's number, its length), and the byte at offset I of frame number N is 1 + (N + I) % 251 after
 * it: no two pages of a frame are alike.
 */
#ifndef XDPSOCK_FRAME_H
#define XDPSOCK_FRAME_H

#include <linux/types.h>
#include <stdbool.h>

#include "options.h"

#define LONGEST_FRAME (64 * 1024)
#define STAMP_MAGIC 0x78736b21u /* "xsk!" */

struct recipe {
	__u32 size;
	__u32 payload;  /* where it begins */
	__u32 l4;       /* where UDP begins; 0: there is none */
	bool changes;   /* each frame is another */
	bool verify;
	clockid_t clock;
	__u8 frame[LONGEST_FRAME]; /* the frame that was made last */
};

void recipe_open(struct recipe *recipe, const struct options *options);

/* Make recipe->frame the frame of that number. Nothing to do where frames do not change. */
void recipe_next(struct recipe *recipe, __u32 sequence);

#define SEEN_WINDOW 65536

struct verification {
	__u64 checked;
	__u64 not_stamped;
	__u64 bad_length;
	__u64 bad_bytes;
	__u64 lost, reordered, duplicate; /* by number; one that came late is not lost */
	bool begun;
	__u32 next;
	__u64 seen[SEEN_WINDOW / 64];     /* of the last numbers before `next` */
};

/* A frame that was received, as one piece. */
void verify_frame(struct verification *verification, const __u8 *frame, __u32 length);

/* Whether something came back other than it was sent. Loss is not: nobody promised to receive everything. */
bool verification_failed(const struct verification *verification);

#endif
