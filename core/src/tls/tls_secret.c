/* Cluster secrets: from text to the keys of TLS (external PSK).
 *
 * Key and identity are derived by HKDF-SHA256 from the secret and the name of the cluster: one secret may serve several
 * clusters, and their members cannot mistake each other. The identity names key and cluster in the clear; it tells of
 * the secret only what guessing tells, and so does every handshake: therefore the least length.
 */
#include "tls_state.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY_BYTES  32
#define FILE_BYTES 2048

static bool derive(const char *purpose, const char *secret, size_t size, const char *cluster, unsigned char *out,
                   size_t out_size) {
    char info[64 + PR_CLUSTER_MAX];
    int info_size = snprintf(info, sizeof info, "libpresence/1 %s %s", purpose, cluster);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, (size_t)info_size),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool done = context && EVP_KDF_derive(context, out, out_size, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return done;
}

static SSL_SESSION *session_of(const unsigned char *key) {
    static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01}; /* which says: SHA-256 */
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    SSL *ssl = context ? SSL_new(context) : NULL;
    const SSL_CIPHER *cipher = ssl ? SSL_CIPHER_find(ssl, aes_128_gcm_sha256) : NULL;
    SSL_SESSION *session = cipher ? SSL_SESSION_new() : NULL;
    bool made = session && SSL_SESSION_set1_master_key(session, key, KEY_BYTES) == 1 &&
                SSL_SESSION_set_cipher(session, cipher) == 1 &&
                SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1;
    SSL_free(ssl);
    SSL_CTX_free(context);
    if (made) return session;
    SSL_SESSION_free(session);
    return NULL;
}

static bool key_make(pr_tls_key *out, const char *secret, size_t size, const char *cluster) {
    unsigned char key[KEY_BYTES], id[8];
    char text[PR_TLS_IDENTITY_MAX + 1];
    bool made = derive("key", secret, size, cluster, key, sizeof key) &&
                derive("name", secret, size, cluster, id, sizeof id) && (out->session = session_of(key)) != NULL;
    OPENSSL_cleanse(key, sizeof key);
    if (!made) return false;
    int length = snprintf(text, sizeof text, "presence/1 %02x%02x%02x%02x%02x%02x%02x%02x %s", id[0], id[1], id[2],
                          id[3], id[4], id[5], id[6], id[7], cluster);
    out->identity_size = (size_t)length;
    memcpy(out->identity, text, out->identity_size);
    return true;
}

void pr_tls_keys_free(pr_tls_keys *keys) {
    for (size_t i = 0; i < keys->size; i++) SSL_SESSION_free(keys->list[i].session);
    OPENSSL_cleanse(keys, sizeof *keys);
}

static int refuse(char why[PR_TLS_WHY_MAX], const char *option, const char *text) {
    snprintf(why, PR_TLS_WHY_MAX, "option %s %s", option, text);
    return PRESENCE_EOPTION;
}

static int add(pr_tls_keys *keys, const char *option, const char *secret, size_t size, const char *cluster, char *why) {
    if (!pr_tls_secret_fits(secret, size)) {
        return refuse(why, option, "must hold secrets of 16 to 256 bytes of text (openssl rand -base64 32 makes one)");
    }
    if (keys->size == PR_TLS_SECRETS_MAX) return refuse(why, option, "holds at most 4 secrets");
    if (!key_make(&keys->list[keys->size], secret, size, cluster)) {
        snprintf(why, PR_TLS_WHY_MAX, "option %s: no key could be made", option);
        return PRESENCE_ENOMEM;
    }
    keys->size++;
    return 0;
}

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

int pr_tls_keys_parse(pr_tls_keys *keys, const char *option, char between, const char *text, size_t size,
                      const char *cluster, char why[PR_TLS_WHY_MAX]) {
    const char *end = text + size;
    int failed = 0;
    memset(keys, 0, sizeof *keys);
    while (!failed && text < end) {
        const char *to = text;
        while (to < end && *to != between) to++;
        const char *from = text, *last = to;
        while (from < last && blank(*from)) from++;
        while (last > from && blank(last[-1])) last--;
        if (last > from) failed = add(keys, option, from, (size_t)(last - from), cluster, why);
        text = to + 1;
    }
    if (!failed && keys->size == 0) failed = refuse(why, option, "holds no secret");
    if (failed) pr_tls_keys_free(keys);
    return failed;
}

int pr_tls_keys_read(pr_tls_keys *keys, const char *path, const char *cluster, char why[PR_TLS_WHY_MAX]) {
    char text[FILE_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text), more = 1;
    int failed = errno;
    char beyond;
    if (size >= 0) more = read(fd, &beyond, 1);
    if (fd >= 0) close(fd);
    if (size < 0) {
        char reason[80];
        snprintf(why, PR_TLS_WHY_MAX, "option secret_file: \"%.120s\": %s", path,
                 strerror_r(failed, reason, sizeof reason) == 0 ? reason : "it cannot be read");
        return PRESENCE_EOPTION;
    }
    failed = more != 0 ? refuse(why, "secret_file", "must name a file of at most 2048 bytes")
                       : pr_tls_keys_parse(keys, "secret_file", '\n', text, (size_t)size, cluster, why);
    OPENSSL_cleanse(text, sizeof text);
    return failed;
}

/* ---- what OpenSSL asks ---- */
static int dial_with(SSL *ssl, const EVP_MD *digest, const unsigned char **identity, size_t *size,
                     SSL_SESSION **session) {
    const pr_tls_link *link = SSL_get_app_data(ssl);
    const pr_tls_key *key = &link->tls->keys.list[0];
    *session = NULL;
    *identity = NULL;
    *size = 0;
    if (digest && EVP_MD_get_type(digest) != NID_sha256) return 1; /* the other end wants what we do not have */
    if (SSL_SESSION_up_ref(key->session) != 1) return 0;
    *session = key->session;
    *identity = key->identity;
    *size = key->identity_size;
    return 1;
}

static int find(SSL *ssl, const unsigned char *identity, size_t size, SSL_SESSION **session) {
    pr_tls_link *link = SSL_get_app_data(ssl);
    *session = NULL;
    for (size_t i = 0; i < link->tls->keys.size; i++) {
        const pr_tls_key *key = &link->tls->keys.list[i];
        if (key->identity_size != size || CRYPTO_memcmp(key->identity, identity, size) != 0) continue;
        if (SSL_SESSION_up_ref(key->session) != 1) return 0;
        *session = key->session;
        return 1;
    }
    link->stranger = true;
    return 1;
}

void pr_tls_keys_use(SSL_CTX *context) {
    SSL_CTX_set_psk_use_session_callback(context, dial_with);
    SSL_CTX_set_psk_find_session_callback(context, find);
}
