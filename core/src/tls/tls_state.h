/* Inside tls: credentials and links. */
#ifndef PR_TLS_STATE_H
#define PR_TLS_STATE_H

#include "tls.h"
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <time.h>

#define PR_TLS_IDENTITY_MAX (12 + 16 + 1 + PR_CLUSTER_MAX)
#define PR_TLS_FILES        3

/* A secret as TLS knows it. The session holds the derived key; OpenSSL wipes it. */
typedef struct pr_tls_key {
    unsigned char identity[PR_TLS_IDENTITY_MAX];
    size_t identity_size;
    SSL_SESSION *session;
} pr_tls_key;

typedef struct pr_tls_keys {
    pr_tls_key list[PR_TLS_SECRETS_MAX]; /* the first is what we dial with, all are believed */
    size_t size;
} pr_tls_keys;

typedef struct pr_tls_mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} pr_tls_mark;

struct pr_tls {
    const pr_alloc *alloc;
    SSL_CTX *context;
    bool by_secret;
    pr_tls_keys keys;
    char cluster[PR_CLUSTER_MAX + 1];
    char name[256];
    char files[PR_TLS_FILES][PR_TLS_PATH_MAX + 1]; /* secret_file; or tls_cert, tls_key, tls_ca */
    size_t files_size;
    pr_tls_mark marks[PR_TLS_FILES];
    bool stale; /* the files are newer than what is in force, and could not be used */
};

struct pr_tls_link {
    pr_tls *tls;
    SSL *ssl;
    BIO *in, *out; /* of ssl */
    bool dialled, loopback, proven, stranger /* its identity is none of ours */;
    uint8_t head[2]; /* the first bytes of the other end */
    size_t before_proof;
    enum pr_tls_doubt doubt;
    char host[256], why[200];
};

/* tls_secret.c: 0, or a code with *why written. Texts hold no secret. */
int pr_tls_keys_parse(pr_tls_keys *, const char *option, char between, const char *text, size_t size,
                      const char *cluster, char why[PR_TLS_WHY_MAX]);
int pr_tls_keys_read(pr_tls_keys *, const char *path, const char *cluster, char why[PR_TLS_WHY_MAX]);
void pr_tls_keys_free(pr_tls_keys *);
void pr_tls_keys_use(SSL_CTX *); /* its links ask for the keys of their pr_tls */

/* tls_certificate.c */
int pr_tls_certificates_use(pr_tls *, SSL_CTX *, char why[PR_TLS_WHY_MAX]);
bool pr_tls_certificate_doubt(pr_tls_link *); /* true: the certificate was at fault, doubt and why are set */

#endif
