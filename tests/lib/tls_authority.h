/* Issuers and certificates for tests, written as PEM files into a folder of the test's own. */
#ifndef PR_TEST_TLS_AUTHORITY_H
#define PR_TEST_TLS_AUTHORITY_H

#include "trackers.h"
#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#define DAY 86400L

typedef struct authority {
    EVP_PKEY *key;
    X509 *certificate;
} authority;

typedef struct pem_files {
    char cert[128], key[128];
} pem_files;

static inline void x509_extend(X509 *certificate, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* issuer NULL: it signs itself */
static inline X509 *x509_make(EVP_PKEY *key, const char *subject, const authority *issuer, const char *names, bool ca,
                              long from_s, long until_s) {
    static long serial = 1000;
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), until_s);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)subject, -1, -1, 0);
    X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer->certificate) : name);
    x509_extend(certificate, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (names) x509_extend(certificate, NID_subject_alt_name, names);
    assert_true(X509_sign(certificate, issuer ? issuer->key : key, EVP_sha256()) > 0);
    return certificate;
}

static inline authority authority_new(const char *name) {
    authority made;
    made.key = EVP_EC_gen("P-256");
    made.certificate = x509_make(made.key, name, NULL, NULL, true, -DAY, DAY);
    return made;
}

static inline void authority_free(authority *a) {
    EVP_PKEY_free(a->key);
    X509_free(a->certificate);
}

/* mode "w", or "a" for a bundle */
static inline void write_certificate(const char *path, const char *mode, X509 *certificate) {
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
}

static inline void write_member(const char *folder, const char *stem, const authority *issuer, const char *names,
                                long from_s, long until_s, pem_files *out) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = x509_make(key, stem, issuer, names, false, from_s, until_s);
    snprintf(out->cert, sizeof out->cert, "%.80s/%s.pem", folder, stem);
    snprintf(out->key, sizeof out->key, "%.80s/%s.key", folder, stem);
    write_certificate(out->cert, "w", certificate);
    FILE *file = fopen(out->key, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static inline void make_folder(char out[64]) {
    snprintf(out, 64, "/tmp/presence-tls-XXXXXX");
    assert_non_null(mkdtemp(out));
}

static inline void remove_folder(const char *folder) {
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') unlink(path);
    }
    closedir(list);
    rmdir(folder);
}

#endif
