/* Walks over the attributes of a netlink message, as libmnl's macros do, free of narrowing
 * conversions. The loop variable is a const struct nlattr *. */
#ifndef CONTINUO_SYS_NETLINK_ATTR_H
#define CONTINUO_SYS_NETLINK_ATTR_H

#include <libmnl/libmnl.h>

/* a, or null when it does not lie wholly before end. */
static inline const struct nlattr *netlink_attr_check(const struct nlattr *a, const void *end)
{
	return mnl_attr_ok(a, (int)((const char *)end - (const char *)a)) ? a : NULL;
}

#define NETLINK_ATTRS(m, header_size, a)                                                           \
	for (const struct nlattr *a =                                                              \
			netlink_attr_check(mnl_nlmsg_get_payload_offset((m), (header_size)),       \
				mnl_nlmsg_get_payload_tail(m));                                    \
		a; a = netlink_attr_check(mnl_attr_next(a), mnl_nlmsg_get_payload_tail(m)))

#define NETLINK_NESTED(nest, a)                                                                    \
	for (const struct nlattr *                                                                 \
			a##_end = (const struct nlattr *)(const void *)((const char *)(nest) +     \
									(nest)->nla_len),          \
		       *a = netlink_attr_check(mnl_attr_get_payload(nest), a##_end);               \
		a; a = netlink_attr_check(mnl_attr_next(a), a##_end))

#endif
