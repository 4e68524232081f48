/* Proof that a peer belongs, before a byte of it is believed (protocol.md 5.1): TLS 1.3 between two buffers.
 *
 * No socket, clock of ours or loop: ciphertext goes in and comes out as bytes, so tests and fuzzers drive it as net
 * does. pr_tls holds what one tracker proves itself by: secrets (external PSK, derived from the cluster secret and
 * bound to the name of the cluster) or certificates (both ends, names checked). pr_tls_link is one connection.
 *
 * Happy path of a link: new -> step (the dialler's first bytes are in the output) -> take, step, output … -> PROVEN on
 * both ends -> read and write.
 * Failure paths, each ends in FAILED with a doubt and a text that never holds a secret: bytes that are no TLS, an older
 * TLS, no secret or no cluster in common, a certificate that is expired, of nobody we trust, or of another name; too
 * many bytes before proof; an alert of the other end; a broken record. What is in the output then is an alert to be
 * sent. The links of one pr_tls belong to one thread; OpenSSL's own memory comes from malloc, not from pr_alloc.
 */
#ifndef PR_TLS_H
#define PR_TLS_H

#include "buffer.h"
#include "text.h"
#include <sys/types.h>

#define PR_TLS_SECRETS_MAX  4
#define PR_TLS_SECRET_LEAST 16 /* bytes: what a listener overhears of a handshake lets it try guesses */
#define PR_TLS_SECRET_MOST  256
#define PR_TLS_PATH_MAX     1023
#define PR_TLS_BEFORE_PROOF 65536 /* bytes taken of a peer that has not proven itself */
#define PR_TLS_WHY_MAX      320

typedef struct pr_tls pr_tls;
typedef struct pr_tls_link pr_tls_link;

typedef struct pr_tls_settings {
    const char *cluster;
    const char *secret;                 /* 1 to 4 secrets between commas, which are no part of one */
    const char *secret_file;            /* or this: a file of them, one a line, in which commas are nothing special */
    const char *cert, *key, *ca, *name; /* or these: files in PEM; name "": the address is checked */
} pr_tls_settings;

/* Neither too short nor too long, and text: of random bytes one could be a line break, and cut the secret in two. */
static inline bool pr_tls_secret_fits(const char *secret, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)secret[i] < ' ' && secret[i] != '\t') return false;
    }
    return size >= PR_TLS_SECRET_LEAST && size <= PR_TLS_SECRET_MOST;
}

/* Why a peer is not believed: each has a rate of its own in the log. */
enum pr_tls_doubt {
    PR_TLS_NO_DOUBT = 0,
    PR_TLS_DOUBT_PLAIN,  /* speaks the protocol without TLS */
    PR_TLS_DOUBT_NO_TLS, /* something else */
    PR_TLS_DOUBT_VERSION,
    PR_TLS_DOUBT_PROTOCOL, /* TLS, for something else */
    PR_TLS_DOUBT_SECRET,
    PR_TLS_DOUBT_NO_CERTIFICATE,
    PR_TLS_DOUBT_EXPIRED,
    PR_TLS_DOUBT_SELF_SIGNED,
    PR_TLS_DOUBT_ISSUER,
    PR_TLS_DOUBT_NAME,
    PR_TLS_DOUBT_CERTIFICATE, /* anything else about it */
    PR_TLS_DOUBT_ALERT,       /* the other end doubts us */
    PR_TLS_DOUBT_BYTES,
    PR_TLS_DOUBT_BROKEN,
    PR_TLS_DOUBTS
};

bool pr_tls_built(void); /* false: the library was built without OpenSSL */
/* 0, EOPTION (a file, a secret, a pair that does not fit: *why names the option), ENOMEM, EUNSUPPORTED, EINTERNAL */
int pr_tls_new(const pr_alloc *, const pr_tls_settings *, pr_tls **out, char why[PR_TLS_WHY_MAX]);
void pr_tls_free(pr_tls *); /* after its links; NULL ok; wipes */
/* Looks at the files: 0 nothing new, 1 taken, -1 unreadable or wrong: *why, and the old ones stay in force. */
int pr_tls_refresh(pr_tls *, char why[PR_TLS_WHY_MAX]);
bool pr_tls_has_files(const pr_tls *);

/* host: what was dialled, or the numeric address of who connected; loopback: it is one. NULL: no memory */
pr_tls_link *pr_tls_link_new(pr_tls *, bool dialled, const char *host, bool loopback);
void pr_tls_link_free(pr_tls_link *);                                   /* NULL ok */
bool pr_tls_link_take(pr_tls_link *, const uint8_t *data, size_t size); /* ciphertext; false: no memory */
enum pr_tls_state { PR_TLS_MORE, PR_TLS_PROVEN, PR_TLS_FAILED };
enum pr_tls_state pr_tls_link_step(pr_tls_link *); /* the handshake as far as the bytes go */
/* Plain bytes, after PROVEN: how many; 0: more ciphertext is needed; -1: the other end closed or broke it. */
ssize_t pr_tls_link_read(pr_tls_link *, void *out, size_t room);
bool pr_tls_link_write(pr_tls_link *, const void *data, size_t size); /* false: no memory, or the link is broken */
bool pr_tls_link_output(pr_tls_link *, pr_buffer *to); /* appends the ciphertext to be sent; false: no memory */
enum pr_tls_doubt pr_tls_link_doubt(const pr_tls_link *);
const char *pr_tls_link_why(const pr_tls_link *);

#endif
