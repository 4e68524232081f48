/* One connection of TLS between two buffers: handshake, reading, writing, and why it failed. */
#include "tls_state.h"
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#define KEPT_BYTES 65536

static bool set_up(pr_tls_link *link) {
    link->ssl = SSL_new(link->tls->context);
    if (!link->ssl) return false;
    SSL_set_app_data(link->ssl, link);
    link->in = BIO_new(BIO_s_mem());
    link->out = BIO_new(BIO_s_mem());
    if (!link->in || !link->out) {
        BIO_free(link->in);
        BIO_free(link->out);
        return false;
    }
    BIO_set_mem_eof_return(link->in, -1);
    BIO_set_mem_eof_return(link->out, -1);
    SSL_set_bio(link->ssl, link->in, link->out);
    if (!link->dialled) {
        SSL_set_accept_state(link->ssl);
        return true;
    }
    /* without a secret in common the other end would have to show a certificate, and there is no issuer to believe */
    if (link->tls->by_secret) SSL_set_verify(link->ssl, SSL_VERIFY_PEER, NULL);
    SSL_set_connect_state(link->ssl);
    bool address = strspn(link->host, "0123456789.:abcdefABCDEF") == strlen(link->host);
    return link->tls->by_secret || address || SSL_set_tlsext_host_name(link->ssl, link->host) == 1;
}

pr_tls_link *pr_tls_link_new(pr_tls *tls, bool dialled, const char *host, bool loopback) {
    pr_tls_link *link = pr_new(tls->alloc, sizeof *link);
    if (!link) return NULL;
    link->tls = tls;
    link->dialled = dialled;
    link->loopback = loopback;
    snprintf(link->host, sizeof link->host, "%s", host);
    ERR_clear_error();
    if (set_up(link)) return link;
    pr_tls_link_free(link);
    return NULL;
}

void pr_tls_link_free(pr_tls_link *link) {
    if (!link) return;
    SSL_free(link->ssl);
    pr_delete(link->tls->alloc, link, sizeof *link);
}

bool pr_tls_link_take(pr_tls_link *link, const uint8_t *data, size_t size) {
    if (size == 0) return true;
    for (size_t i = 0; i < size && link->before_proof + i < sizeof link->head; i++)
        link->head[link->before_proof + i] = data[i];
    if (!link->proven) link->before_proof += size;
    return BIO_write(link->in, data, (int)size) == (int)size;
}

static enum pr_tls_state doubt(pr_tls_link *link, enum pr_tls_doubt kind, const char *why) {
    link->doubt = kind;
    snprintf(link->why, sizeof link->why, "%s", why);
    return PR_TLS_FAILED;
}

/* Every record of TLS begins with its type and the major version 3. */
static bool is_tls(const pr_tls_link *link) {
    uint8_t type = link->head[0];
    if (link->before_proof == 0) return true;
    return (type == 0x16 || type == 0x15) && (link->before_proof == 1 || link->head[1] == 3);
}

static enum pr_tls_state not_tls(pr_tls_link *link) {
    uint8_t first = link->head[0];
    if (first == 'L') return doubt(link, PR_TLS_DOUBT_PLAIN, "it speaks the protocol without TLS");
    bool http = first == 'G' || first == 'P' || first == 'H';
    return doubt(link, PR_TLS_DOUBT_NO_TLS, http ? "it does not speak TLS (HTTP?)" : "it does not speak TLS");
}

/* The other end ended it: the alert says why. */
static enum pr_tls_state alerted(pr_tls_link *link, int reason) {
    const char *text = SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
    bool secret = link->tls->by_secret && !link->proven && link->dialled;
    link->doubt = PR_TLS_DOUBT_ALERT;
    snprintf(link->why, sizeof link->why, "it does not believe us: %s%s", text,
             secret ? " (another secret or another cluster?)" : "");
    return PR_TLS_FAILED;
}

/* Without a secret in common OpenSSL looks for a certificate to show, and has none. */
static bool wants_certificate(int reason) {
    return reason == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM || reason == SSL_R_NO_SHARED_CIPHER ||
           reason == SSL_R_NO_CERTIFICATE_SET;
}

/* text: OpenSSL's, of a few words; NULL: none */
static enum pr_tls_state broken(pr_tls_link *link, const char *text) {
    link->doubt = PR_TLS_DOUBT_BROKEN;
    snprintf(link->why, sizeof link->why, "%s%s%s%s",
             link->proven ? "what it sent was changed on the way or is no TLS" : "its TLS handshake is broken",
             text ? " (" : "", text ? text : "", text ? ")" : "");
    return PR_TLS_FAILED;
}

static enum pr_tls_state failed(pr_tls_link *link) {
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    ERR_clear_error();
    if (!is_tls(link)) return not_tls(link);
    if (reason >= SSL_AD_REASON_OFFSET) return alerted(link, reason);
    switch (reason) {
    case SSL_R_BINDER_DOES_NOT_VERIFY: return doubt(link, PR_TLS_DOUBT_SECRET, "it has another secret");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_WRONG_SSL_VERSION: return doubt(link, PR_TLS_DOUBT_VERSION, "it does not speak TLS 1.3");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return doubt(link, PR_TLS_DOUBT_NO_CERTIFICATE, "it shows no certificate");
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return doubt(link, PR_TLS_DOUBT_PROTOCOL, "it speaks TLS for another protocol (ALPN)");
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        if (link->tls->by_secret) return doubt(link, PR_TLS_DOUBT_SECRET, "it shows a certificate and no secret");
        if (pr_tls_certificate_doubt(link)) return PR_TLS_FAILED;
        break;
    default: break;
    }
    if (link->stranger) return doubt(link, PR_TLS_DOUBT_SECRET, "it has another secret or another cluster");
    if (link->tls->by_secret && wants_certificate(reason))
        return doubt(link, PR_TLS_DOUBT_SECRET, "it offers no secret");
    return broken(link, reason ? ERR_reason_error_string(error) : NULL);
}

static bool alpn_agreed(const SSL *ssl) {
    const unsigned char *name;
    unsigned size;
    SSL_get0_alpn_selected(ssl, &name, &size);
    return size == 10 && memcmp(name, "presence/1", 10) == 0;
}

static enum pr_tls_state proven(pr_tls_link *link) {
    if (SSL_version(link->ssl) != TLS1_3_VERSION) return doubt(link, PR_TLS_DOUBT_VERSION, "it does not speak TLS 1.3");
    if (!alpn_agreed(link->ssl)) return doubt(link, PR_TLS_DOUBT_PROTOCOL, "it does not name the protocol (ALPN)");
    bool by_secret = link->tls->by_secret; /* OpenSSL calls an accepted PSK a resumption */
    bool shown = by_secret ? SSL_session_reused(link->ssl) == 1
                           : SSL_get0_peer_certificate(link->ssl) && SSL_get_verify_result(link->ssl) == X509_V_OK;
    if (!shown)
        return doubt(link, by_secret ? PR_TLS_DOUBT_SECRET : PR_TLS_DOUBT_NO_CERTIFICATE, "it has proven nothing");
    link->proven = true;
    return PR_TLS_PROVEN;
}

enum pr_tls_state pr_tls_link_step(pr_tls_link *link) {
    if (link->doubt) return PR_TLS_FAILED;
    if (link->proven) return PR_TLS_PROVEN;
    ERR_clear_error();
    int result = SSL_do_handshake(link->ssl);
    if (result == 1) return proven(link);
    if (SSL_get_error(link->ssl, result) != SSL_ERROR_WANT_READ) return failed(link);
    if (link->before_proof <= PR_TLS_BEFORE_PROOF) return PR_TLS_MORE;
    return doubt(link, PR_TLS_DOUBT_BYTES, "it sent over 65536 bytes and proved nothing");
}

ssize_t pr_tls_link_read(pr_tls_link *link, void *out, size_t room) {
    size_t size = 0;
    if (link->doubt) return -1;
    ERR_clear_error();
    int result = SSL_read_ex(link->ssl, out, room, &size);
    if (result == 1) return (ssize_t)size;
    int error = SSL_get_error(link->ssl, result);
    if (error == SSL_ERROR_WANT_READ) return 0;
    if (error != SSL_ERROR_ZERO_RETURN) failed(link);
    return -1;
}

bool pr_tls_link_write(pr_tls_link *link, const void *data, size_t size) {
    size_t written = 0;
    if (size == 0) return true;
    if (link->doubt) return false;
    ERR_clear_error();
    if (SSL_write_ex(link->ssl, data, size, &written) == 1 && written == size) return true;
    failed(link);
    return false;
}

/* OpenSSL's buffer has grown for a snapshot: a link that idles again keeps little. */
static void shrink(pr_tls_link *link) {
    BIO *fresh = BIO_new(BIO_s_mem());
    if (!fresh) return;
    BIO_set_mem_eof_return(fresh, -1);
    SSL_set0_wbio(link->ssl, fresh); /* frees the old one */
    link->out = fresh;
}

bool pr_tls_link_output(pr_tls_link *link, pr_buffer *to) {
    size_t pending = BIO_ctrl_pending(link->out);
    if (pending == 0) return true;
    if (pr_buffer_reserve(to, pending)) return false;
    int size = BIO_read(link->out, to->data + to->size, (int)pending);
    if (size > 0) to->size += (size_t)size;
    if (link->proven && pending > KEPT_BYTES && size == (int)pending) shrink(link);
    return size == (int)pending;
}

enum pr_tls_doubt pr_tls_link_doubt(const pr_tls_link *link) { return link->doubt; }

const char *pr_tls_link_why(const pr_tls_link *link) { return link->why; }
