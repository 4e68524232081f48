/* A library without OpenSSL: nothing can be proven, and the options say so. */
#include "tls.h"
#include <stdio.h>

bool pr_tls_built(void) { return false; }

int pr_tls_new(const pr_alloc *alloc, const pr_tls_settings *settings, pr_tls **out, char why[PR_TLS_WHY_MAX]) {
    (void)alloc, (void)settings;
    *out = NULL;
    snprintf(why, PR_TLS_WHY_MAX, "this library was built without OpenSSL");
    return PRESENCE_EUNSUPPORTED;
}

void pr_tls_free(pr_tls *tls) { (void)tls; }

int pr_tls_refresh(pr_tls *tls, char why[PR_TLS_WHY_MAX]) {
    (void)tls, (void)why;
    return 0;
}

bool pr_tls_has_files(const pr_tls *tls) {
    (void)tls;
    return false;
}

pr_tls_link *pr_tls_link_new(pr_tls *tls, bool dialled, const char *host, bool loopback) {
    (void)tls, (void)dialled, (void)host, (void)loopback;
    return NULL;
}

void pr_tls_link_free(pr_tls_link *link) { (void)link; }

bool pr_tls_link_take(pr_tls_link *link, const uint8_t *data, size_t size) {
    (void)link, (void)data, (void)size;
    return false;
}

enum pr_tls_state pr_tls_link_step(pr_tls_link *link) {
    (void)link;
    return PR_TLS_FAILED;
}

ssize_t pr_tls_link_read(pr_tls_link *link, void *out, size_t room) {
    (void)link, (void)out, (void)room;
    return -1;
}

bool pr_tls_link_write(pr_tls_link *link, const void *data, size_t size) {
    (void)link, (void)data, (void)size;
    return false;
}

bool pr_tls_link_output(pr_tls_link *link, pr_buffer *to) {
    (void)link, (void)to;
    return false;
}

enum pr_tls_doubt pr_tls_link_doubt(const pr_tls_link *link) {
    (void)link;
    return PR_TLS_NO_DOUBT;
}

const char *pr_tls_link_why(const pr_tls_link *link) {
    (void)link;
    return "";
}
