/* Certificates: of ourselves from files, of others checked by issuer, time and name.
 *
 * The name: with tls_name every certificate must carry it, in full; without, the one of a member that was dialled must
 * be good for the host that was dialled, the one of a member that connected for the address it comes from (for
 * loopback, "localhost" will do as well). Names are those of the extension subjectAltName; the common name is not
 * looked at.
 */
#include "tls_state.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define NAME_FLAGS (X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

static bool named(X509 *certificate, const char *name, unsigned flags) {
    return X509_check_host(certificate, name, 0, NAME_FLAGS | flags, NULL) == 1;
}

static bool name_fits(const pr_tls_link *link, X509 *certificate) {
    /* a name that says "member of this cluster": the wildcard of a web server is not it */
    if (link->tls->name[0]) return named(certificate, link->tls->name, X509_CHECK_FLAG_NO_WILDCARDS);
    if (link->loopback && named(certificate, "localhost", 0)) return true;
    int address = X509_check_ip_asc(certificate, link->host, 0);           /* below 0: it is no address, but a name */
    return address < 0 ? named(certificate, link->host, 0) : address == 1; /* no DNS name is good for an address */
}

static int on_verify(int good, X509_STORE_CTX *store) {
    if (!good || X509_STORE_CTX_get_error_depth(store) != 0) return good;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const pr_tls_link *link = SSL_get_app_data(ssl);
    if (name_fits(link, X509_STORE_CTX_get_current_cert(store))) return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

static int refuse(char why[PR_TLS_WHY_MAX], const char *option, const char *path) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(why, PR_TLS_WHY_MAX, "option %s: \"%.120s\": %s", option, path, reason ? reason : "it cannot be read");
    ERR_clear_error();
    return PRESENCE_EOPTION;
}

/* A key behind a passphrase is refused: there is nobody to ask. */
static int no_passphrase(char *buffer, int size, int writing, void *user) {
    (void)buffer, (void)size, (void)writing, (void)user;
    return 0;
}

int pr_tls_certificates_use(pr_tls *tls, SSL_CTX *context, char why[PR_TLS_WHY_MAX]) {
    const char *cert = tls->files[0], *key = tls->files[1], *ca = tls->files[2];
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(context, cert) != 1) return refuse(why, "tls_cert", cert);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) return refuse(why, "tls_key", key);
    if (SSL_CTX_check_private_key(context) != 1) return refuse(why, "tls_key", key);
    if (SSL_CTX_load_verify_file(context, ca) != 1) return refuse(why, "tls_ca", ca);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    SSL_CTX_set_verify_depth(context, 8);
    return 0;
}

static enum pr_tls_doubt doubt_of(long result) {
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: return PR_TLS_DOUBT_EXPIRED;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: return PR_TLS_DOUBT_SELF_SIGNED;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: return PR_TLS_DOUBT_ISSUER;
    case X509_V_ERR_HOSTNAME_MISMATCH: return PR_TLS_DOUBT_NAME;
    default: return PR_TLS_DOUBT_CERTIFICATE;
    }
}

bool pr_tls_certificate_doubt(pr_tls_link *link) {
    long result = SSL_get_verify_result(link->ssl);
    if (result == X509_V_OK) return false;
    link->doubt = doubt_of(result);
    if (link->doubt == PR_TLS_DOUBT_NAME) {
        const char *name = link->tls->name[0] ? link->tls->name : link->host;
        snprintf(link->why, sizeof link->why, "its certificate is not for %.120s", name);
    } else {
        snprintf(link->why, sizeof link->why, "its certificate: %s", X509_verify_cert_error_string(result));
    }
    return true;
}
