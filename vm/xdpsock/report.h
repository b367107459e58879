/* SPDX-License-Identifier: GPL-2.0-only */
/* What xdpsock tells: statistics while it runs, and a summary at the end. */
#ifndef XDPSOCK_REPORT_H
#define XDPSOCK_REPORT_H

#include "program.h"
#include "traffic.h"

/* How it was bound, for the headings; before anything is reported. */
void report_open(const char *xdp_mode);

/* All is bound: a line to --ready-fd. */
void report_ready(const struct run *run);

/* Statistics of the last `elapsed` nanoseconds. */
void report_interval(const struct run *run, __u64 elapsed);

/* Totals, in words or as JSON; what to exit with. */
int report_summary(const struct run *run);

#endif
