// SPDX-License-Identifier: GPL-2.0-only
/* The system calls that make the kernel look at our rings. */
#include <errno.h>
#include <poll.h>

#include "failure.h"
#include "traffic.h"

static void drive(struct run *run, struct socket *socket, bool tx)
{
	ssize_t done = tx ? sendto(socket->fd, NULL, 0, MSG_DONTWAIT, NULL, 0)
			  : recvfrom(socket->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);

	/* ENETDOWN: the link is down and may come up again. ENXIO: we are unbound for good. */
	if (done >= 0 || errno == EAGAIN || errno == EBUSY || errno == ENOBUFS || errno == ENETDOWN || errno == EINTR)
		return;
	if (errno == ENXIO)
		run_end_by_error(run, errno);
	else
		refused(errno, "", tx ? "sendto" : "recvfrom");
}

void wakeup_wait(struct run *run, int timeout)
{
	struct umem *umem = run->umem;
	struct pollfd fds[umem->sockets];
	short events = run->options->job == JOB_TXONLY ? POLLOUT : POLLIN;

	if (ledger_outstanding(&umem->ledger, OWNER_TX))
		events |= POLLOUT;
	for (__u32 i = 0; i < umem->sockets; i++)
		fds[i] = (struct pollfd){ .fd = umem->socket[i].fd, .events = events };
	umem->calls.opt_polls++;
	if (poll(fds, umem->sockets, timeout) <= 0)
		return;
	for (__u32 i = 0; i < umem->sockets; i++) {
		const int error = fds[i].revents & POLLERR ? umem_error(umem) : 0;

		if (error)
			run_end_by_error(run, error);
	}
}

void wakeup_transmitter(struct run *run)
{
	const struct options *o = run->options;
	struct umem *umem = run->umem;

	if (o->poll) {
		wakeup_wait(run, 0);
		return;
	}
	for (__u32 i = 0; i < umem->sockets; i++) {
		if (!o->busy_poll && o->need_wakeup && !xsk_ring_prod__needs_wakeup(&umem->socket[i].tx))
			continue;
		umem->calls.tx_wakeup_sendtos += umem->zero_copy;
		umem->calls.copy_tx_sendtos += !umem->zero_copy;
		drive(run, &umem->socket[i], true);
	}
}

void wakeup_receiver(struct run *run, struct socket *socket, __u64 *counter)
{
	if (run->options->busy_poll || xsk_ring_prod__needs_wakeup(&run->umem->fill)) {
		++*counter;
		drive(run, socket, false);
	}
}

