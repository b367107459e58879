/* SPDX-License-Identifier: GPL-2.0-only */
/* How xdpsock gives up: what failed, why, what to try; and its exit statuses. */
#ifndef XDPSOCK_FAILURE_H
#define XDPSOCK_FAILURE_H

#include <stdbool.h>

enum exit_status {
	EXIT_FINE = 0,
	EXIT_REFUSED = 1,     /* the kernel refused something, or there is no such interface */
	EXIT_USAGE = 2,       /* the command line makes no sense */
	EXIT_BROKEN = 3,      /* a frame or a buffer came back other than it should have */
	EXIT_DEVICE_GONE = 4, /* the sockets were unbound: the device went away */
};

/* From now on failures are also told as a JSON object on standard output. */
void failures_in_json(bool yes);

/* Print `xdpsock: WHAT: REASON` and what to try, then exit with EXIT_REFUSED. error: a positive errno. */
void refused(int error, const char *hint, const char *what, ...)
	__attribute__((noreturn, format(printf, 3, 4)));

/* Print `xdpsock: WHAT` and where to read on, then exit with EXIT_USAGE. */
void bad_usage(const char *what, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
