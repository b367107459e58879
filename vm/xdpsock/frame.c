// SPDX-License-Identifier: GPL-2.0-only
#include "frame.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <string.h>
#include <time.h>

#define PERIOD 251
#define STAMP 12
#define VLAN_TAG 4
#define DISCARD_PORT 9
#define PKTGEN_MAGIC 0xbe9be955u

static __u8 pattern[LONGEST_FRAME + PERIOD];

static void make_pattern(void)
{
	for (__u32 i = 0; i < sizeof(pattern); i++)
		pattern[i] = 1 + i % PERIOD;
}

static __u32 sum_words(const void *data, __u32 length)
{
	const __u8 *bytes = data;
	__u32 sum = 0;

	for (__u32 i = 0; i + 1 < length; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static __u16 fold(__u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Ethernet and its VLAN tag; gives its length. type: in host order. */
static __u32 put_ethernet(__u8 *frame, const struct options *o, __u16 type)
{
	const __u16 tag[2] = { htons(ETH_P_8021Q), htons(o->vlan_priority << 13 | o->vlan_id) };
	__u32 at = 2 * ETH_ALEN;

	memcpy(frame, o->dmac, ETH_ALEN);
	memcpy(frame + ETH_ALEN, o->smac, ETH_ALEN);
	if (o->vlan) {
		memcpy(frame + at, tag, VLAN_TAG);
		at += VLAN_TAG;
	}
	type = htons(type);
	memcpy(frame + at, &type, sizeof(type));
	return at + sizeof(type);
}

/* IPv4 and UDP from 198.18.0.1 to 198.18.0.2 (RFC 2544's benchmark network); gives their length. */
static __u32 put_udp(__u8 *at, __u32 length, bool checksum)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons(length),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.saddr = htonl(0xc6120001),
		.daddr = htonl(0xc6120002),
	};
	struct udphdr udp = {
		.source = htons(DISCARD_PORT),
		.dest = htons(DISCARD_PORT),
		.len = htons(length - sizeof(ip)),
	};

	ip.check = htons(~fold(sum_words(&ip, sizeof(ip))));
	/* What a device completes: the sum of the pseudo header. 0 is no checksum at all. */
	if (checksum)
		udp.check = htons(fold(sum_words(&ip.saddr, 8) + IPPROTO_UDP + length - sizeof(ip)));
	memcpy(at, &ip, sizeof(ip));
	memcpy(at + sizeof(ip), &udp, sizeof(udp));
	return sizeof(ip) + sizeof(udp);
}

void recipe_open(struct recipe *recipe, const struct options *o)
{
	const __u32 word = htonl(o->pattern);
	__u32 at;

	make_pattern();
	recipe->size = o->size;
	recipe->verify = o->verify;
	recipe->changes = o->verify || o->tstamp;
	recipe->clock = o->clock;
	at = put_ethernet(recipe->frame, o, o->ethertype ? o->ethertype : ETH_P_IP);
	recipe->l4 = o->ethertype ? 0 : at + sizeof(struct iphdr);
	if (!o->ethertype)
		at += put_udp(recipe->frame + at, o->size - at, o->tx_checksum);
	recipe->payload = at;
	for (__u32 i = at; i < o->size; i++)
		recipe->frame[i] = ((const __u8 *)&word)[(i - at) % sizeof(word)];
}

static void put_words(__u8 *at, const __u32 *words, __u32 count, __u32 room)
{
	for (__u32 i = 0; i < count && (i + 1) * sizeof(__u32) <= room; i++) {
		const __u32 word = htonl(words[i]);

		memcpy(at + i * sizeof(word), &word, sizeof(word));
	}
}

void recipe_next(struct recipe *recipe, __u32 sequence)
{
	__u8 *payload = recipe->frame + recipe->payload;
	const __u32 room = recipe->size - recipe->payload;
	struct timespec now;

	if (recipe->verify) {
		const __u32 stamp[] = { STAMP_MAGIC, sequence, recipe->size };
		const __u32 rest = recipe->payload + STAMP;

		put_words(payload, stamp, 3, room);
		memcpy(recipe->frame + rest, pattern + (sequence + rest) % PERIOD, recipe->size - rest);
	} else if (recipe->changes) {
		clock_gettime(recipe->clock, &now);
		put_words(payload, (__u32[]){ PKTGEN_MAGIC, sequence, now.tv_sec, now.tv_nsec / 1000 }, 4, room);
	}
}

static __u16 word16(const __u8 *at)
{
	return at[0] << 8 | at[1];
}

static __u32 word32(const __u8 *at)
{
	return (__u32)word16(at) << 16 | word16(at + 2);
}

/* Where the payload of a frame begins. */
static __u32 payload_of(const __u8 *frame, __u32 length)
{
	__u32 at = ETH_HLEN;

	if (length >= at + VLAN_TAG && word16(frame + at - 2) == ETH_P_8021Q)
		at += VLAN_TAG;
	if (length > at && word16(frame + at - 2) == ETH_P_IP)
		at += (frame[at] & 0xf) * 4 + sizeof(struct udphdr);
	return at;
}

static __u64 *seen_word(struct verification *v, __u32 sequence)
{
	return &v->seen[sequence % SEEN_WINDOW / 64];
}

static void number_came(struct verification *v, __u32 sequence)
{
	const __u64 bit = 1ULL << (sequence % 64);
	__u32 ahead = sequence - v->next;

	if (!v->begun) {
		v->begun = true;
		v->next = sequence;
		ahead = 0;
	}
	if (ahead < 1U << 31) {
		v->lost += ahead;
		/* Forget the numbers a window ago, whose bits these are. */
		for (__u32 i = 0; i <= ahead && i < SEEN_WINDOW; i++)
			*seen_word(v, sequence - i) &= ~(1ULL << ((sequence - i) % 64));
		v->next = sequence + 1;
	} else if (*seen_word(v, sequence) & bit) {
		v->duplicate++;
		return;
	} else {
		v->reordered++;
		v->lost -= v->lost > 0;
	}
	*seen_word(v, sequence) |= bit;
}

void verify_frame(struct verification *v, const __u8 *frame, __u32 length)
{
	const __u32 payload = payload_of(frame, length), rest = payload + STAMP;
	__u32 sequence;

	if (length < rest || word32(frame + payload) != STAMP_MAGIC) {
		v->not_stamped++;
		return;
	}
	v->checked++;
	sequence = word32(frame + payload + 4);
	if (word32(frame + payload + 8) != length)
		v->bad_length++;
	else if (memcmp(frame + rest, pattern + (sequence + rest) % PERIOD, length - rest))
		v->bad_bytes++;
	number_came(v, sequence);
}

bool verification_failed(const struct verification *v)
{
	return v->not_stamped || v->bad_length || v->bad_bytes || v->duplicate;
}
