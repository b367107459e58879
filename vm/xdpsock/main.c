// SPDX-License-Identifier: GPL-2.0-only
/* xdpsock: receive, send and forward Ethernet frames through AF_XDP sockets.
 *
 * The options are those of the sample of that name; on top of it xdpsock keeps account of every buffer that it gives to
 * the kernel, can check every byte of what it receives, and tells it all in JSON. `xdpsock --help`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "failure.h"
#include "options.h"
#include "program.h"
#include "report.h"
#include "traffic.h"
#include "umem.h"

static void set_scheduler(const struct options *options)
{
	const struct sched_param parameters = { .sched_priority = options->priority };

	if (options->policy == SCHED_OTHER && !options->priority)
		return;
	if (sched_setscheduler(0, options->policy, &parameters))
		refused(errno, "as root; SCHED_FIFO and SCHED_RR with --schpri=1 to 99", "scheduling policy");
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (syscall(SYS_capset, &header, none))
		refused(errno, "", "giving up capabilities");
}

int main(int argc, char **argv)
{
	static struct options options;
	static struct umem umem;
	static struct program program;
	static struct run run;
	int status;

	parse_options(&options, argc, argv);
	set_scheduler(&options);
	umem_open(&umem, &options);
	program_open(&program, &options, &umem);
	report_open(program.mode);
	if (options.reduce_cap)
		drop_capabilities();
	run_traffic(&run, &options, &umem);
	status = report_summary(&run);
	program_close(&program);
	umem_close(&umem);
	return status;
}
