/* What one tracker proves itself by: made from options, renewed when a file changes.
 *
 * Happy path: new -> links -> refresh now and then -> free.
 * Failure paths: a file that cannot be read or does not fit: new fails with the option's name; refresh keeps what it
 * has, says so once until the file changes again (a certificate and its key are seldom written at one moment), and
 * tries again each time: what was in the way (its mode, want of descriptors or memory) may end without a new file.
 */
#include "tls_state.h"
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

static const unsigned char alpn[] = "\x0apresence/1";

bool pr_tls_built(void) { return true; }

/* Both ends name the protocol, so that a certificate for something else (a web server) proves nothing here. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in, unsigned in_size,
                   void *user) {
    (void)ssl, (void)user;
    unsigned char *chosen = NULL;
    int match = SSL_select_next_proto(&chosen, size, alpn, sizeof alpn - 1, in, in_size);
    *out = chosen;
    return match == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* TLS 1.3 alone, nothing resumed, no configuration of the machine. */
static SSL_CTX *context_new(bool by_secret) {
    static const char *const sha256 = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (!context) return NULL;
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(context, PR_TLS_BEFORE_PROOF / 2);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1 &&
        SSL_CTX_set_alpn_protos(context, alpn, sizeof alpn - 1) == 0 &&
        (!by_secret || SSL_CTX_set_ciphersuites(context, sha256) == 1))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static bool mark(const char *path, pr_tls_mark *out) {
    struct stat found;
    memset(out, 0, sizeof *out);
    if (stat(path, &found) != 0) return false;
    out->device = found.st_dev;
    out->inode = found.st_ino;
    out->size = found.st_size;
    out->changed = found.st_mtim;
    return true;
}

/* Takes what the options say, or leaves everything as it was. */
static int load(pr_tls *tls, const char *secret, char why[PR_TLS_WHY_MAX]) {
    pr_tls_keys keys;
    int failed = 0;
    memset(&keys, 0, sizeof keys);
    SSL_CTX *context = context_new(tls->by_secret);
    if (!context) {
        snprintf(why, PR_TLS_WHY_MAX, "OpenSSL could not be set up");
        return PRESENCE_EINTERNAL;
    }
    if (!tls->by_secret) {
        failed = pr_tls_certificates_use(tls, context, why);
    } else {
        failed = tls->files_size ? pr_tls_keys_read(&keys, tls->files[0], tls->cluster, why)
                                 : pr_tls_keys_parse(&keys, "secret", ',', secret, strlen(secret), tls->cluster, why);
        pr_tls_keys_use(context);
    }
    if (failed) {
        SSL_CTX_free(context);
        return failed;
    }
    SSL_CTX_free(tls->context); /* links that live keep it */
    pr_tls_keys_free(&tls->keys);
    tls->context = context;
    tls->keys = keys;
    return 0;
}

static void keep_file(pr_tls *tls, const char *path) {
    snprintf(tls->files[tls->files_size++], sizeof tls->files[0], "%s", path);
}

int pr_tls_new(const pr_alloc *alloc, const pr_tls_settings *settings, pr_tls **out, char why[PR_TLS_WHY_MAX]) {
    *out = NULL;
    snprintf(why, PR_TLS_WHY_MAX, "out of memory");
    /* this OpenSSL is ours alone: no file of the machine configures it, and its end is the end of the process */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1) return PRESENCE_EINTERNAL;
    pr_tls *tls = pr_new(alloc, sizeof *tls);
    if (!tls) return PRESENCE_ENOMEM;
    tls->alloc = alloc;
    tls->by_secret = *settings->secret || *settings->secret_file;
    snprintf(tls->cluster, sizeof tls->cluster, "%s", settings->cluster);
    snprintf(tls->name, sizeof tls->name, "%s", settings->name);
    if (*settings->secret_file) keep_file(tls, settings->secret_file);
    if (!tls->by_secret) {
        keep_file(tls, settings->cert);
        keep_file(tls, settings->key);
        keep_file(tls, settings->ca);
    }
    for (size_t i = 0; i < tls->files_size; i++) mark(tls->files[i], &tls->marks[i]);
    int failed = load(tls, settings->secret, why);
    if (failed) {
        pr_tls_free(tls);
        return failed;
    }
    *out = tls;
    return 0;
}

void pr_tls_free(pr_tls *tls) {
    if (!tls) return;
    SSL_CTX_free(tls->context);
    pr_tls_keys_free(&tls->keys);
    pr_delete(tls->alloc, tls, sizeof *tls);
}

bool pr_tls_has_files(const pr_tls *tls) { return tls->files_size > 0; }

int pr_tls_refresh(pr_tls *tls, char why[PR_TLS_WHY_MAX]) {
    bool changed = false;
    for (size_t i = 0; i < tls->files_size; i++) {
        pr_tls_mark found;
        if (!mark(tls->files[i], &found)) continue; /* between two of its lives; what we have stays good */
        changed = changed || memcmp(&found, &tls->marks[i], sizeof found) != 0;
        tls->marks[i] = found;
    }
    if (!changed && !tls->stale) return 0;
    bool told = tls->stale && !changed;
    tls->stale = load(tls, "", why) != 0;
    if (!tls->stale) return 1;
    return told ? 0 : -1;
}
