/* What TLS reads of a peer that has proven nothing, by secret and by certificate. A stranger's bytes to either end, cut
 * anywhere: never a proof, and an end within the bound. Somebody between two members, who changes, drops and adds
 * bytes: if both still believe each other, what they say arrives as it was said. A certificate of the right issuer that
 * says anything at all about names: believed only if the right one is in it. */
#define _GNU_SOURCE 1 /* memmem */
#include "fuzz_input.h"
#include "tls.h"
#include "tls_authority.h"
#include <openssl/ssl.h>

#define TURNS 8

typedef struct world {
    pr_alloc alloc;
    pr_tls *secret, *certificate;
    authority issuer;
    EVP_PKEY *key; /* of the certificates that say anything */
} world;

static pr_tls *tls_of(const pr_alloc *alloc, pr_tls_settings settings) {
    char why[PR_TLS_WHY_MAX];
    pr_tls *tls;
    REQUIRE(pr_tls_new(alloc, &settings, &tls, why) == 0);
    return tls;
}

static const world *members(void) {
    static world w;
    char folder[64], ca[80];
    pem_files member;
    if (w.secret) return &w;
    w.alloc = pr_alloc_default();
    w.secret = tls_of(&w.alloc, (pr_tls_settings){"default", "correct horse battery staple", "", "", "", "", ""});
    w.issuer = authority_new("ours");
    w.key = EVP_EC_gen("P-256");
    make_folder(folder);
    snprintf(ca, sizeof ca, "%s/ca.pem", folder);
    write_certificate(ca, "w", w.issuer.certificate);
    write_member(folder, "member", &w.issuer, "DNS:localhost,IP:127.0.0.1", -DAY, DAY, &member);
    w.certificate = tls_of(&w.alloc, (pr_tls_settings){"default", "", "", member.cert, member.key, ca, ""});
    remove_folder(folder);
    return &w;
}

static void drain(pr_tls_link *link, pr_buffer *out) {
    pr_buffer_clear(out);
    REQUIRE(pr_tls_link_output(link, out));
}

static void stranger(fuzz_input *in, pr_tls *ours, bool dialled, pr_buffer *out) {
    pr_tls_link *link = pr_tls_link_new(ours, dialled, "127.0.0.1", true);
    size_t taken = 0;
    REQUIRE(link != NULL);
    enum pr_tls_state state = pr_tls_link_step(link);
    while (in->size && state == PR_TLS_MORE) {
        presence_str part = fuzz_bytes(in, 1 + fuzz_byte(in) * 16u);
        REQUIRE(pr_tls_link_take(link, (const uint8_t *)part.data, part.size));
        taken += part.size;
        state = pr_tls_link_step(link);
        drain(link, out);
        REQUIRE(state != PR_TLS_PROVEN);
        REQUIRE(state == PR_TLS_FAILED || taken <= PR_TLS_BEFORE_PROOF);
    }
    REQUIRE((state == PR_TLS_FAILED) == (pr_tls_link_doubt(link) != PR_TLS_NO_DOUBT));
    REQUIRE((state == PR_TLS_FAILED) == (*pr_tls_link_why(link) != 0));
    pr_tls_link_free(link);
}

/* One flight on its way. */
static void carry(fuzz_input *in, pr_tls_link *from, pr_tls_link *to, pr_buffer *flight) {
    drain(from, flight);
    uint8_t what = fuzz_byte(in);
    size_t at = flight->size ? ((size_t)fuzz_byte(in) << 8 | fuzz_byte(in)) % flight->size : 0;
    if (what % 8 == 1 && flight->size) flight->data[at] ^= (uint8_t)(fuzz_byte(in) | 1);
    if (what % 8 == 2) flight->size = at;
    presence_str more = fuzz_bytes(in, what % 8 == 3 ? fuzz_byte(in) : 0);
    if (flight->size) REQUIRE(pr_tls_link_take(to, flight->data, flight->size));
    REQUIRE(pr_tls_link_take(to, (const uint8_t *)more.data, more.size));
}

static void hear(pr_tls_link *from, pr_tls_link *to, pr_buffer *flight) {
    char got[16];
    if (!pr_tls_link_write(from, "what is said", 12)) return;
    drain(from, flight);
    REQUIRE(pr_tls_link_take(to, flight->data, flight->size));
    ssize_t size = pr_tls_link_read(to, got, sizeof got);
    REQUIRE(size <= 0 || (size == 12 && memcmp(got, "what is said", 12) == 0));
}

static void between(fuzz_input *in, pr_tls *ours, pr_buffer *flight) {
    pr_tls_link *a = pr_tls_link_new(ours, true, "127.0.0.1", true);
    pr_tls_link *b = pr_tls_link_new(ours, false, "127.0.0.1", true);
    REQUIRE(a && b);
    enum pr_tls_state of_a = pr_tls_link_step(a), of_b = PR_TLS_MORE;
    for (int turn = 0; turn < TURNS && of_a != PR_TLS_FAILED && of_b != PR_TLS_FAILED; turn++) {
        carry(in, a, b, flight);
        of_b = pr_tls_link_step(b);
        carry(in, b, a, flight);
        of_a = pr_tls_link_step(a);
    }
    if (of_a == PR_TLS_PROVEN && of_b == PR_TLS_PROVEN) {
        hear(a, b, flight);
        hear(b, a, flight);
    }
    pr_tls_link_free(a);
    pr_tls_link_free(b);
}

/* ---- a certificate of the right issuer with names of any bytes ---- */
static X509 *certificate_named(presence_str names) {
    const world *w = members();
    X509 *made = X509_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    REQUIRE(made && value && X509_set_version(made, 2) && ASN1_INTEGER_set(X509_get_serialNumber(made), 1));
    REQUIRE(X509_gmtime_adj(X509_getm_notBefore(made), -DAY) && X509_gmtime_adj(X509_getm_notAfter(made), DAY));
    REQUIRE(X509_set_pubkey(made, w->key) && X509_set_issuer_name(made, X509_get_subject_name(w->issuer.certificate)));
    REQUIRE(ASN1_OCTET_STRING_set(value, (const unsigned char *)names.data, (int)names.size));
    X509_EXTENSION *extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, value);
    REQUIRE(extension && X509_add_ext(made, extension, -1) && X509_sign(made, w->issuer.key, EVP_sha256()) > 0);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    return made;
}

/* A client that is not ours, as far as it gets with that certificate. */
static SSL *client_with(X509 *certificate) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    REQUIRE(context && SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x0apresence/1", 11) == 0);
    REQUIRE(SSL_CTX_use_certificate(context, certificate) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context, members()->key) == 1);
    SSL *client = SSL_new(context);
    REQUIRE(client);
    SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(client), -1);
    SSL_CTX_free(context);
    return client;
}

static bool has(presence_str in, const char *bytes, size_t size) {
    return memmem(in.data, in.size, bytes, size) != NULL;
}

/* The numeric address in bytes, or the name that loopback may have, in any case of letters. */
static bool may_be_right(presence_str names) {
    char lower[256];
    size_t size = names.size < sizeof lower ? names.size : sizeof lower;
    for (size_t i = 0; i < size; i++)
        lower[i] = (char)(names.data[i] >= 'A' && names.data[i] <= 'Z' ? names.data[i] + 32 : names.data[i]);
    return has(names, "\x7f\0\0\1", 4) || has((presence_str){lower, size}, "localhost", 9);
}

static void named(fuzz_input *in, pr_buffer *out) {
    uint8_t bytes[16384];
    presence_str names = fuzz_bytes(in, fuzz_byte(in));
    X509 *certificate = certificate_named(names);
    SSL *client = client_with(certificate);
    pr_tls_link *link = pr_tls_link_new(members()->certificate, false, "127.0.0.1", true);
    enum pr_tls_state state = PR_TLS_MORE;
    REQUIRE(link);
    for (int turn = 0; turn < 4 && state == PR_TLS_MORE; turn++) {
        SSL_connect(client);
        int size = BIO_read(SSL_get_wbio(client), bytes, sizeof bytes);
        if (size > 0) REQUIRE(pr_tls_link_take(link, bytes, (size_t)size));
        state = pr_tls_link_step(link);
        drain(link, out);
        if (out->size) BIO_write(SSL_get_rbio(client), out->data, (int)out->size);
    }
    REQUIRE(state != PR_TLS_PROVEN || may_be_right(names));
    REQUIRE(state != PR_TLS_MORE);
    pr_tls_link_free(link);
    SSL_free(client);
    X509_free(certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const pr_alloc *alloc;
    static pr_alloc heap;
    fuzz_input in = {data, size};
    pr_buffer room;
    if (!alloc) heap = pr_alloc_default(), alloc = &heap;
    pr_buffer_init(&room, alloc, 1u << 22);
    uint8_t kind = fuzz_byte(&in) % 7;
    pr_tls *ours = kind < 3 ? members()->secret : members()->certificate;
    switch (kind) {
    case 0:
    case 3: stranger(&in, ours, false, &room); break;
    case 1:
    case 4: stranger(&in, ours, true, &room); break;
    case 6: named(&in, &room); break;
    default: between(&in, ours, &room); break;
    }
    pr_buffer_free(&room);
    return 0;
}
