#include "sys/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/netlink_attr.h"

#define MESSAGE_SIZE 8192
#define ANSWER_SIZE 65536
#define ANSWER_TIMEOUT_MS 5000

struct netlink {
	struct mnl_socket *socket;
	unsigned sequence;
	struct nlmsghdr *message;
	char *answer; /* ANSWER_SIZE bytes */
	char message_data[MESSAGE_SIZE] __attribute__((aligned(8)));
};

static int open_socket(int protocol, unsigned groups, struct netlink **ret_netlink, struct err *e)
{
	struct mnl_socket *s = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!s)
		return err_set_errno(e, errno, "cannot open a netlink socket (protocol %d)",
			protocol);
	if (mnl_socket_bind(s, groups, MNL_SOCKET_AUTOPID) < 0) {
		int code = err_set_errno(e, errno, "cannot bind a netlink socket");
		mnl_socket_close(s);
		return code;
	}
	/* Acknowledgements need not repeat the request. Absent in old kernels: harmless. */
	int one = 1;
	mnl_socket_setsockopt(s, NETLINK_CAP_ACK, &one, sizeof(one));
	struct netlink *n = mem_new(struct netlink);
	n->socket = s;
	n->answer = mem_alloc(ANSWER_SIZE);
	*ret_netlink = n;
	return 0;
}

int netlink_open(int protocol, struct netlink **ret_netlink, struct err *e)
{
	return open_socket(protocol, 0, ret_netlink, e);
}

int netlink_open_in(int netns_fd, int protocol, struct netlink **ret_netlink, struct err *e)
{
	int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return err_set_errno(e, errno, "cannot open this thread's network namespace");
	if (setns(netns_fd, CLONE_NEWNET) < 0) {
		int code = err_set_errno(e, errno, "cannot enter the pod's network namespace");
		close(own);
		return code;
	}
	int code = open_socket(protocol, 0, ret_netlink, e);
	if (setns(own, CLONE_NEWNET) < 0)
		abort(); /* all that follows would happen in the pod: only a restart helps */
	close(own);
	return code;
}

void netlink_close(struct netlink *n)
{
	if (!n)
		return;
	mnl_socket_close(n->socket);
	free(n->answer);
	free(n);
}

void netlink_close_ptr(struct netlink **n)
{
	netlink_close(*n);
}

int netlink_fd(const struct netlink *n)
{
	return mnl_socket_get_fd(n->socket);
}

struct nlmsghdr *netlink_message(struct netlink *n, uint16_t type, uint16_t flags,
	const void *header, size_t header_size)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(n->message_data);
	m->nlmsg_type = type;
	m->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	m->nlmsg_seq = ++n->sequence;
	memcpy(mnl_nlmsg_put_extra_header(m, header_size), header, header_size);
	n->message = m;
	return m;
}

int netlink_error(struct err *e, int errnum, const char *what)
{
	enum err_code code = ERR_IO;
	switch (errnum) {
	case EEXIST:
		code = ERR_EXISTS;
		break;
	case ENOENT:
	case ENODEV:
	case ENXIO:
	case ESRCH:
	case EADDRNOTAVAIL:
		code = ERR_NOT_FOUND;
		break;
	case EPERM:
	case EACCES:
		code = ERR_FORBIDDEN;
		break;
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTUNREACH:
		code = ERR_UNAVAILABLE;
		break;
	case EBUSY:
	case EAGAIN:
	case EINTR:
	case ENOBUFS:
		code = ERR_BUSY;
		break;
	default:
		break;
	}
	char reason[128];
	return err_set(e, code, "%s: %s", what, strerror_r(errnum, reason, sizeof(reason)));
}

/* Receives one datagram of messages. Mostly it is there already: the kernel works while we send.
 * One that never answers must not hang the agent. */
static int receive(struct netlink *n, size_t *ret_size, const char *what, struct err *e)
{
	for (;;) {
		ssize_t got = recv(netlink_fd(n), n->answer, ANSWER_SIZE, MSG_DONTWAIT);
		if (got >= 0) {
			*ret_size = (size_t)got;
			return 0;
		}
		if (errno != EAGAIN && errno != EINTR)
			return netlink_error(e, errno, what);
		struct pollfd p = {.fd = netlink_fd(n), .events = POLLIN};
		int ready = poll(&p, 1, ANSWER_TIMEOUT_MS);
		if (ready < 0 && errno != EINTR)
			return netlink_error(e, errno, what);
		if (ready == 0)
			return err_set(e, ERR_TIMEOUT, "%s: the kernel did not answer", what);
	}
}

struct exchange {
	netlink_answer_cb *cb;
	void *arg;
	bool ended, interrupted;
	int errnum;
};

static void take_answer(struct exchange *x, const struct nlmsghdr *m, bool dump)
{
	if (m->nlmsg_flags & NLM_F_DUMP_INTR)
		x->interrupted = true;
	if (m->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *r = mnl_nlmsg_get_payload(m);
		x->errnum = -r->error;
		x->ended = true;
	} else if (m->nlmsg_type == NLMSG_DONE) {
		x->ended = true;
	} else if (m->nlmsg_type >= NLMSG_MIN_TYPE) {
		if (x->cb)
			x->cb(x->arg, m);
		x->ended = !dump && !(m->nlmsg_flags & NLM_F_MULTI);
	}
}

static int exchange(struct netlink *n, struct exchange *x, const char *what, struct err *e)
{
	bool dump = (n->message->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	if (mnl_socket_sendto(n->socket, n->message, n->message->nlmsg_len) < 0)
		return netlink_error(e, errno, what);
	while (!x->ended) {
		size_t size = 0;
		int code = receive(n, &size, what, e);
		if (code)
			return code;
		int left = (int)size;
		for (struct nlmsghdr *m = (struct nlmsghdr *)(void *)n->answer;
			mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
			if (m->nlmsg_seq == n->sequence && !x->ended)
				take_answer(x, m, dump);
	}
	if (x->errnum)
		return netlink_error(e, x->errnum, what);
	if (x->interrupted)
		return err_set(e, ERR_BUSY, "%s: the kernel's table changed meanwhile", what);
	return 0;
}

int netlink_request(struct netlink *n, const char *what, struct err *e)
{
	n->message->nlmsg_flags |= NLM_F_ACK;
	struct exchange x = {0};
	return exchange(n, &x, what, e);
}

int netlink_query(struct netlink *n, netlink_answer_cb *cb, void *arg, const char *what,
	struct err *e)
{
	struct exchange x = {.cb = cb, .arg = arg};
	return exchange(n, &x, what, e);
}

/* A batch is acknowledged by nothing but its errors; so its last message asks for an answer. */
int netlink_send_batch(struct netlink *n, const void *data, size_t size, const char *what,
	struct err *e)
{
	int wanted = (int)(size + 65536);
	int fd = netlink_fd(n);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
	if (mnl_socket_sendto(n->socket, data, size) < 0)
		return netlink_error(e, errno, what);
	/* The kernel has done its work when sendto returns: whatever it says is there to be read.
	 */
	int errnum = 0;
	for (;;) {
		ssize_t got = recv(fd, n->answer, ANSWER_SIZE, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (got < 0 && errno != EINTR) {
			errnum = errnum ? errnum : errno;
			if (errno != ENOBUFS)
				break;
			continue;
		}
		int left = (int)got;
		for (struct nlmsghdr *m = (struct nlmsghdr *)(void *)n->answer;
			mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
			if (m->nlmsg_type != NLMSG_ERROR)
				continue;
			const struct nlmsgerr *r = mnl_nlmsg_get_payload(m);
			if (r->error && !errnum)
				errnum = -r->error;
		}
	}
	return errnum ? netlink_error(e, errnum, what) : 0;
}

int netlink_open_news(struct netlink **ret_netlink, struct err *e)
{
	return open_socket(NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR, ret_netlink, e);
}

static bool concerns(const struct nlmsghdr *m, const char *ignore_prefix)
{
	unsigned short name_attribute = IFLA_IFNAME;
	size_t header = sizeof(struct ifinfomsg);
	if (m->nlmsg_type == RTM_NEWADDR || m->nlmsg_type == RTM_DELADDR) {
		name_attribute = IFA_LABEL;
		header = sizeof(struct ifaddrmsg);
	} else if (m->nlmsg_type != RTM_NEWLINK && m->nlmsg_type != RTM_DELLINK) {
		return false;
	}
	NETLINK_ATTRS (m, header, a) {
		if (mnl_attr_get_type(a) == name_attribute)
			return strncmp(mnl_attr_get_str(a), ignore_prefix, strlen(ignore_prefix)) !=
			       0;
	}
	return true;
}

bool netlink_news(struct netlink *n, const char *ignore_prefix)
{
	bool news = false;
	for (;;) {
		ssize_t got = recv(netlink_fd(n), n->answer, ANSWER_SIZE, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == ENOBUFS) {
			news = true;
			continue;
		}
		if (got < 0)
			return news;
		int left = (int)got;
		for (struct nlmsghdr *m = (struct nlmsghdr *)(void *)n->answer;
			mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
			news = concerns(m, ignore_prefix) || news;
	}
}
