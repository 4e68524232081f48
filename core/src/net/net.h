/* The real network of one tracker: a libuv loop on a thread of its own that feeds the engine and does what it asks. In
 * one hold of the tracker's lock it feeds the engine and takes the actions, and acts after unlocking. */
#ifndef PR_NET_H
#define PR_NET_H

#include "address.h"
#include "clock.h"
#include "tls.h"
#include "transport.h"

/* listen: "" = dial only, else host:port or a range. Binds before it returns, so that errors are the caller's:
 * EADDRESS, EADDRINUSE, ENOMEM, EINTERNAL; *why: static text. No thread yet. */
int pr_net_new(const pr_alloc *, const pr_transport_hooks *, const char *listen, pr_transport **out, const char **why);
/* Bound to all addresses of the machine (0.0.0.0, [::]): those that others may dial, with the port; else 0. */
size_t pr_net_interfaces(const char *bound, char (*out)[PR_ADDRESS_MAX + 1], size_t room);
/* Before start: every link proves itself by tls (taken; NULL: plain); beyond: members beyond loopback may be dialled.
 */
void pr_net_secure(pr_transport *, pr_tls *tls, bool beyond);

#endif
