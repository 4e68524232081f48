/* Two ends of TLS in memory: who is believed, who is not, and why; bytes through it; rotation. */
#include "tls.h"
#include "tls_authority.h"
#include <openssl/ssl.h>
#include <sys/resource.h>

#define SECRET "correct horse battery staple"
#define OTHER  "another secret altogether"

static pr_alloc heap;
static char folder[64];
static char ca_file[128], strange_ca_file[128];
static pem_files patterned, member, old_member, alone, misnamed, strange;

static pr_tls *by_secret(const char *cluster, const char *secret) {
    pr_tls_settings settings = {cluster, secret, "", "", "", "", ""};
    char why[PR_TLS_WHY_MAX];
    pr_tls *tls;
    if (pr_tls_new(&heap, &settings, &tls, why)) fail_msg("%s", why);
    return tls;
}

static pr_tls *by_certificate(const pem_files *files, const char *ca, const char *name) {
    pr_tls_settings settings = {"default", "", "", files->cert, files->key, ca, name};
    char why[PR_TLS_WHY_MAX];
    pr_tls *tls;
    if (pr_tls_new(&heap, &settings, &tls, why)) fail_msg("%s", why);
    return tls;
}

/* Moves what `from` has to say to `to`; how many bytes. */
static size_t carry(pr_tls_link *from, pr_tls_link *to) {
    pr_buffer bytes;
    pr_buffer_init(&bytes, &heap, 1u << 24);
    assert_true(pr_tls_link_output(from, &bytes));
    size_t size = bytes.size;
    assert_true(pr_tls_link_take(to, bytes.data, size));
    pr_buffer_free(&bytes);
    return size;
}

typedef struct pair {
    pr_tls_link *dials, *accepts;
    enum pr_tls_state dialled, accepted;
} pair;

static pair shake(pr_tls *dials, pr_tls *accepts, const char *host) {
    pair p = {pr_tls_link_new(dials, true, host, true), pr_tls_link_new(accepts, false, "127.0.0.1", true), PR_TLS_MORE,
              PR_TLS_MORE};
    assert_non_null(p.dials);
    assert_non_null(p.accepts);
    size_t moved = 1;
    while (moved > 0) {
        p.dialled = pr_tls_link_step(p.dials);
        moved = carry(p.dials, p.accepts);
        p.accepted = pr_tls_link_step(p.accepts);
        moved += carry(p.accepts, p.dials);
    }
    p.dialled = pr_tls_link_step(p.dials);
    return p;
}

static void pair_free(pair *p) {
    pr_tls_link_free(p->dials);
    pr_tls_link_free(p->accepts);
}

static void expect_doubt(const pr_tls_link *link, enum pr_tls_doubt doubt, const char *part) {
    if (pr_tls_link_doubt(link) != doubt || !strstr(pr_tls_link_why(link), part))
        fail_msg("doubt %d \"%s\", not %d \"%s\"", pr_tls_link_doubt(link), pr_tls_link_why(link), doubt, part);
}

/* Both prove themselves, and bytes come through as they went in. */
static void expect_proven(pr_tls *dials, pr_tls *accepts, const char *host) {
    static uint8_t sent[200000], got[sizeof sent + 1];
    pair p = shake(dials, accepts, host);
    if (p.dialled != PR_TLS_PROVEN || p.accepted != PR_TLS_PROVEN)
        fail_msg("dialled: %s; accepted: %s", pr_tls_link_why(p.dials), pr_tls_link_why(p.accepts));
    for (size_t i = 0; i < sizeof sent; i++) sent[i] = (uint8_t)(i * 7 + i / 251);
    assert_true(pr_tls_link_write(p.dials, sent, sizeof sent));
    assert_true(pr_tls_link_write(p.dials, sent, 0));
    carry(p.dials, p.accepts);
    size_t size = 0;
    for (ssize_t n; (n = pr_tls_link_read(p.accepts, got + size, sizeof got - size)) > 0;) size += (size_t)n;
    assert_int_equal(size, sizeof sent);
    assert_memory_equal(sent, got, sizeof sent);
    assert_true(pr_tls_link_write(p.accepts, "back", 4));
    carry(p.accepts, p.dials);
    assert_int_equal(pr_tls_link_read(p.dials, got, sizeof got), 4);
    assert_int_equal(pr_tls_link_read(p.dials, got, sizeof got), 0);
    pair_free(&p);
}

static void expect_refused(pr_tls *dials, pr_tls *accepts, const char *host, enum pr_tls_doubt of_dialler,
                           enum pr_tls_doubt of_listener, const char *part) {
    char byte;
    pair p = shake(dials, accepts, host);
    if (p.dialled == PR_TLS_PROVEN && of_dialler) /* who dials is done first, and hears of it on reading */
        assert_int_equal(pr_tls_link_read(p.dials, &byte, 1), -1);
    if (of_listener) assert_int_equal(p.accepted, PR_TLS_FAILED);
    if (of_dialler)
        expect_doubt(p.dials, of_dialler, of_dialler == PR_TLS_DOUBT_ALERT ? "it does not believe us" : part);
    if (of_listener) {
        bool told = of_listener == PR_TLS_DOUBT_ALERT;
        expect_doubt(p.accepts, of_listener, told ? "it does not believe us" : part);
    }
    assert_false(p.dialled == PR_TLS_PROVEN && p.accepted == PR_TLS_PROVEN);
    pair_free(&p);
}

static void one_secret(void **state) {
    (void)state;
    pr_tls *a = by_secret("default", SECRET), *b = by_secret("default", " " SECRET " ,\n");
    expect_proven(a, b, "127.0.0.1");
    expect_proven(b, a, "host.example");
    pr_tls_free(a);
    pr_tls_free(b);
}

static void another_secret_or_cluster(void **state) {
    (void)state;
    pr_tls *a = by_secret("default", SECRET), *b = by_secret("default", OTHER), *c = by_secret("chat", SECRET);
    expect_refused(a, b, "h", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_SECRET, "another secret or another cluster");
    expect_refused(a, c, "h", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_SECRET, "another secret or another cluster");
    pr_tls_free(a);
    pr_tls_free(b);
    pr_tls_free(c);
}

static void two_secrets_while_one_replaces_the_other(void **state) {
    (void)state;
    pr_tls *old = by_secret("default", SECRET), *both = by_secret("default", OTHER "," SECRET);
    pr_tls *new = by_secret("default", OTHER), *careful = by_secret("default", SECRET "," OTHER);
    expect_proven(old, careful, "h");
    expect_proven(careful, old, "h");
    expect_proven(old, both, "h");
    expect_proven(both, careful, "h");
    expect_proven(both, new, "h");
    expect_proven(new, both, "h");
    expect_refused(both, old, "h", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_SECRET, "another secret"); /* too early */
    pr_tls *all[] = {old, both, new, careful};
    for (size_t i = 0; i < 4; i++) pr_tls_free(all[i]);
}

static void certificates(void **state) {
    (void)state;
    pr_tls *a = by_certificate(&member, ca_file, ""), *b = by_certificate(&member, ca_file, "");
    expect_proven(a, b, "127.0.0.1");
    expect_proven(a, b, "member.example");
    expect_refused(a, b, "other.example", PR_TLS_DOUBT_NAME, PR_TLS_DOUBT_ALERT, "not for other.example");
    pr_tls_free(a);
    pr_tls_free(b);
}

static void every_kind_of_bad_certificate(void **state) {
    (void)state;
    static const struct {
        const pem_files *files;
        enum pr_tls_doubt doubt;
        const char *part;
    } bad[] = {{&old_member, PR_TLS_DOUBT_EXPIRED, "expired"},
               {&alone, PR_TLS_DOUBT_SELF_SIGNED, "self"},
               {&strange, PR_TLS_DOUBT_ISSUER, "issuer"},
               {&misnamed, PR_TLS_DOUBT_NAME, "is not for"}};
    pr_tls *good = by_certificate(&member, ca_file, "");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pr_tls *evil = by_certificate(bad[i].files, ca_file, "");
        expect_refused(evil, good, "member.example", PR_TLS_DOUBT_ALERT, bad[i].doubt, bad[i].part);
        expect_refused(good, evil, "member.example", bad[i].doubt, PR_TLS_DOUBT_ALERT, bad[i].part);
        pr_tls_free(evil);
    }
    pr_tls_free(good);
}

/* `*.0.0.1` would fit, were an address taken for a name. */
static void an_address_is_no_name(void **state) {
    (void)state;
    pr_tls *good = by_certificate(&member, ca_file, ""), *evil = by_certificate(&patterned, ca_file, "");
    expect_refused(good, evil, "127.0.0.1", PR_TLS_DOUBT_NAME, PR_TLS_DOUBT_ALERT, "not for 127.0.0.1");
    expect_refused(evil, good, "member.example", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_NAME, "not for 127.0.0.1");
    expect_refused(good, evil, "localhost", PR_TLS_DOUBT_NAME, PR_TLS_DOUBT_ALERT, "not for localhost");
    pr_tls_free(good);
    pr_tls_free(evil);
}

static void a_name_for_all(void **state) {
    (void)state;
    pr_tls *a = by_certificate(&member, ca_file, "member.example"), *b = by_certificate(&misnamed, ca_file, "");
    pr_tls *c = by_certificate(&member, ca_file, "member.example"), *web = by_certificate(&patterned, ca_file, "");
    pr_tls *one = by_certificate(&member, ca_file, "one.cluster.example");
    expect_proven(a, c, "elsewhere.example");
    expect_proven(one, c, "elsewhere.example");
    expect_refused(web, one, "member.example", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_NAME, "not for one.cluster.example");
    expect_refused(one, web, "elsewhere.example", PR_TLS_DOUBT_NAME, PR_TLS_DOUBT_ALERT, "not for one.cluster.example");
    pr_tls_free(web);
    pr_tls_free(one);
    expect_refused(b, a, "member.example", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_NAME, "not for member.example");
    pr_tls_free(a);
    pr_tls_free(b);
    pr_tls_free(c);
}

static void secret_against_certificates(void **state) {
    (void)state;
    pr_tls *secret = by_secret("default", SECRET), *cert = by_certificate(&member, ca_file, "");
    expect_refused(cert, secret, "127.0.0.1", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_SECRET, "offers no secret");
    expect_refused(secret, cert, "127.0.0.1", PR_TLS_DOUBT_SECRET, PR_TLS_DOUBT_ALERT, "a certificate and no secret");
    pr_tls_free(secret);
    pr_tls_free(cert);
}

/* A stranger with an OpenSSL of its own: what it says first, and the doubt. */
static void expect_stranger(SSL_CTX *context, pr_tls *ours, enum pr_tls_doubt doubt, const char *part) {
    pr_tls_link *link = pr_tls_link_new(ours, false, "127.0.0.1", true);
    SSL *ssl = SSL_new(context);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    assert_int_not_equal(SSL_connect(ssl), 1);
    uint8_t hello[4096];
    int size = BIO_read(SSL_get_wbio(ssl), hello, sizeof hello);
    assert_true(size > 0);
    assert_true(pr_tls_link_take(link, hello, (size_t)size));
    assert_int_equal(pr_tls_link_step(link), PR_TLS_FAILED);
    expect_doubt(link, doubt, part);
    pr_tls_link_free(link);
    SSL_free(ssl);
}

static void strangers_who_speak_tls(void **state) {
    (void)state;
    pr_tls *secret = by_secret("default", SECRET), *certificate = by_certificate(&member, ca_file, "");
    SSL_CTX *old = SSL_CTX_new(TLS_client_method()), *web = SSL_CTX_new(TLS_client_method());
    SSL_CTX *plain = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
    assert_int_equal(SSL_CTX_set_alpn_protos(web, (const unsigned char *)"\x02h2\x08http/1.1", 12), 0);
    expect_stranger(old, secret, PR_TLS_DOUBT_VERSION, "TLS 1.3");
    expect_stranger(old, certificate, PR_TLS_DOUBT_VERSION, "TLS 1.3");
    expect_stranger(plain, secret, PR_TLS_DOUBT_SECRET, "it offers no secret");
    expect_stranger(web, secret, PR_TLS_DOUBT_PROTOCOL, "another protocol (ALPN)");
    expect_stranger(web, certificate, PR_TLS_DOUBT_PROTOCOL, "another protocol (ALPN)");
    SSL_CTX_free(old);
    SSL_CTX_free(web);
    SSL_CTX_free(plain);
    pr_tls_free(secret);
    pr_tls_free(certificate);
}

static void no_tls_at_all(void **state) {
    (void)state;
    static const struct {
        char says[40];
        enum pr_tls_doubt doubt;
        const char *part;
    } strangers[] = {
        {"LPRE\1\0\1\0 and so on", PR_TLS_DOUBT_PLAIN, "without TLS"},
        {"GET / HTTP/1.1\r\n\r\n", PR_TLS_DOUBT_NO_TLS, "HTTP?"},
        {"SSH-2.0-OpenSSH_9.2\r\n", PR_TLS_DOUBT_NO_TLS, "does not speak TLS"},
        {"\x16 nonsense that begins like TLS", PR_TLS_DOUBT_NO_TLS, "does not speak TLS"},
        {"\x16\x03\x01\xff\xff nonsense", PR_TLS_DOUBT_BROKEN, "its TLS handshake is broken ("},
        {"\x16\x03\x01\x00\x08\x01\x00\x00\x04oooo", PR_TLS_DOUBT_BROKEN, "its TLS handshake is broken ("}};
    pr_tls *ours = by_secret("default", SECRET);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        for (int dialled = 0; dialled < 2; dialled++) {
            pr_tls_link *link = pr_tls_link_new(ours, dialled, "127.0.0.1", true);
            pr_tls_link_step(link);
            assert_true(pr_tls_link_take(link, (const uint8_t *)strangers[i].says, 18));
            assert_int_equal(pr_tls_link_step(link), PR_TLS_FAILED);
            expect_doubt(link, strangers[i].doubt, strangers[i].part);
            assert_int_equal(pr_tls_link_step(link), PR_TLS_FAILED);
            assert_int_equal(pr_tls_link_read(link, (char[1]){0}, 1), -1);
            assert_false(pr_tls_link_write(link, "x", 1));
            pr_tls_link_free(link);
        }
    }
    pr_tls_free(ours);
}

/* A handshake message that says it is long, and comes in small records that never end it. */
static void bytes_before_proof_are_bounded(void **state) {
    (void)state;
    pr_tls *ours = by_secret("default", SECRET);
    pr_tls_link *link = pr_tls_link_new(ours, false, "127.0.0.1", true);
    uint8_t record[5 + 1024] = {0x16, 3, 1, 4, 0, 1, 0, 0xff, 0xff};
    size_t sent = 0;
    enum pr_tls_state now = PR_TLS_MORE;
    while (now == PR_TLS_MORE && sent < 1u << 20) {
        assert_true(pr_tls_link_take(link, record, sizeof record));
        sent += sizeof record;
        now = pr_tls_link_step(link);
    }
    assert_int_equal(now, PR_TLS_FAILED);
    assert_true(sent <= PR_TLS_BEFORE_PROOF + sizeof record);
    pr_tls_link_free(link);
    pr_tls_free(ours);
}

static void expect_settings(pr_tls_settings settings, const char *part) {
    char why[PR_TLS_WHY_MAX];
    pr_tls *tls = (pr_tls *)1;
    assert_int_equal(pr_tls_new(&heap, &settings, &tls, why), PRESENCE_EOPTION);
    assert_null(tls);
    if (!strstr(why, part)) fail_msg("\"%s\" is not in \"%s\"", part, why);
    assert_null(strstr(why, "hunter2"));
}

static void bad_settings(void **state) {
    (void)state;
    char missing[128], empty[128];
    snprintf(missing, sizeof missing, "%s/missing", folder);
    snprintf(empty, sizeof empty, "%s/empty", folder);
    fclose(fopen(empty, "w"));
    expect_settings((pr_tls_settings){"c", "hunter2", "", "", "", "", ""}, "option secret must hold secrets of 16");
    expect_settings((pr_tls_settings){"c", " , \n", "", "", "", "", ""}, "option secret holds no secret");
    expect_settings((pr_tls_settings){"c", SECRET "," SECRET "," SECRET "," SECRET "," SECRET, "", "", "", "", ""},
                    "at most 4");
    expect_settings((pr_tls_settings){"c", "", missing, "", "", "", ""}, "option secret_file");
    expect_settings((pr_tls_settings){"c", "", empty, "", "", "", ""}, "option secret_file holds no secret");
    expect_settings((pr_tls_settings){"c", "", folder, "", "", "", ""}, "option secret_file");
    expect_settings((pr_tls_settings){"c", SECRET "\n" SECRET, "", "", "", "", ""}, "bytes of text");
    expect_settings((pr_tls_settings){"c", "", "", missing, member.key, ca_file, ""}, "option tls_cert");
    expect_settings((pr_tls_settings){"c", "", "", member.cert, strange.key, ca_file, ""}, "option tls_key");
    expect_settings((pr_tls_settings){"c", "", "", member.cert, empty, ca_file, ""}, "option tls_key");
    expect_settings((pr_tls_settings){"c", "", "", member.cert, member.key, empty, ""}, "option tls_ca");
}

static void write_text(const char *path, const char *text) {
    char new[256];
    snprintf(new, sizeof new, "%s.new", path);
    FILE *file = fopen(new, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(new, path), 0);
}

static void files_that_change(void **state) {
    (void)state;
    char path[128], why[PR_TLS_WHY_MAX];
    snprintf(path, sizeof path, "%s/secret", folder);
    write_text(path, SECRET "\n");
    pr_tls_settings settings = {"default", "", path, "", "", "", ""};
    pr_tls *rotating, *old = by_secret("default", SECRET), *new = by_secret("default", OTHER);
    assert_int_equal(pr_tls_new(&heap, &settings, &rotating, why), 0);
    assert_true(pr_tls_has_files(rotating));
    assert_false(pr_tls_has_files(old));
    pair before = shake(rotating, old, "h"); /* outlives what follows */
    assert_int_equal(pr_tls_refresh(rotating, why), 0);
    write_text(path, OTHER "\n" SECRET "\n");
    assert_int_equal(pr_tls_refresh(rotating, why), 1);
    expect_proven(old, rotating, "h");
    expect_proven(rotating, new, "h");
    write_text(path, "short\n");
    assert_int_equal(pr_tls_refresh(rotating, why), -1);
    assert_non_null(strstr(why, "option secret_file"));
    assert_int_equal(pr_tls_refresh(rotating, why), 0); /* said once */
    expect_proven(rotating, new, "h");
    unlink(path);
    assert_int_equal(pr_tls_refresh(rotating, why), 0);
    write_text(path, OTHER);
    assert_int_equal(pr_tls_refresh(rotating, why), 1);
    expect_refused(old, rotating, "h", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_SECRET, "another secret");
    assert_true(pr_tls_link_write(before.dials, "still", 5));
    carry(before.dials, before.accepts);
    char got[8];
    assert_int_equal(pr_tls_link_read(before.accepts, got, sizeof got), 5);
    pair_free(&before);
    pr_tls_free(rotating);
    pr_tls_free(old);
    pr_tls_free(new);
}

static pr_tls *by_file(const char *path, const char *bytes, size_t size, char why[PR_TLS_WHY_MAX]) {
    pr_tls_settings settings = {"default", "", path, "", "", "", ""};
    pr_tls *tls;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    int result = pr_tls_new(&heap, &settings, &tls, why);
    assert_int_equal(result, tls ? 0 : PRESENCE_EOPTION);
    return tls;
}

/* Lines alone: a comma in a passphrase would make two weaker ones of it. */
static void what_separates_secrets_in_a_file(void **state) {
    (void)state;
    static const char phrase[] = "\t a passphrase of words, and of words behind a comma \r\n\n" OTHER;
    char path[160], why[PR_TLS_WHY_MAX];
    snprintf(path, sizeof path, "%s/phrase", folder);
    pr_tls *phrased = by_file(path, phrase, sizeof phrase - 1, why), *other = by_secret("default", OTHER);
    pr_tls *half = by_secret("default", "a passphrase of words"),
           *rest = by_secret("default", "and of words behind a comma");
    assert_non_null(phrased);
    expect_refused(half, phrased, "h", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_SECRET, "another secret");
    expect_refused(rest, phrased, "h", PR_TLS_DOUBT_ALERT, PR_TLS_DOUBT_SECRET, "another secret");
    expect_proven(other, phrased, "h");
    pr_tls *all[] = {phrased, other, half, rest};
    for (size_t i = 0; i < 4; i++) pr_tls_free(all[i]);
    unlink(path);
}

static void what_a_file_may_hold(void **state) {
    (void)state;
    static char bytes[2049];
    char path[160], why[PR_TLS_WHY_MAX];
    snprintf(path, sizeof path, "%s/most", folder);
    memset(bytes, '\n', sizeof bytes);
    memcpy(bytes + 2048 - 20, "the last twenty byte", 20);
    pr_tls *most = by_file(path, bytes, 2048, why);
    assert_non_null(most);
    pr_tls_free(most);
    assert_null(by_file(path, bytes, 2049, why));
    assert_non_null(strstr(why, "at most 2048 bytes"));
    assert_null(
        by_file(path, "thirty-two random bytes: \0\1\2\3\4\5", 31, why)); /* half of such files have a line break */
    assert_non_null(strstr(why, "bytes of text"));
    unlink(path);
}

/* What was in the way ends, and the file stays as it is: it is taken all the same. */
static void a_file_that_could_not_be_read_is_tried_again(void **state) {
    (void)state;
    char path[160], why[PR_TLS_WHY_MAX];
    struct rlimit usual, none;
    snprintf(path, sizeof path, "%s/tried", folder);
    write_text(path, SECRET "\n");
    pr_tls_settings settings = {"default", "", path, "", "", "", ""};
    pr_tls *rotating, *new = by_secret("default", OTHER);
    assert_int_equal(pr_tls_new(&heap, &settings, &rotating, why), 0);
    write_text(path, OTHER);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    none = usual;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int first = pr_tls_refresh(rotating, why), second = pr_tls_refresh(rotating, why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(first, -1);
    assert_int_equal(second, 0); /* said once */
    assert_int_equal(pr_tls_refresh(rotating, why), 1);
    assert_int_equal(pr_tls_refresh(rotating, why), 0);
    expect_proven(rotating, new, "h");
    unlink(path);
    pr_tls_free(rotating);
    pr_tls_free(new);
}

static int set_up(void **state) {
    (void)state;
    heap = pr_alloc_default();
    make_folder(folder);
    authority ca = authority_new("ours"), other = authority_new("theirs");
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", folder);
    snprintf(strange_ca_file, sizeof strange_ca_file, "%s/strange-ca.pem", folder);
    write_certificate(ca_file, "w", ca.certificate);
    write_certificate(strange_ca_file, "w", other.certificate);
    static const char names[] = "DNS:member.example,DNS:one.cluster.example,IP:127.0.0.1";
    write_member(folder, "member", &ca, names, -DAY, DAY, &member);
    write_member(folder, "old", &ca, names, -2 * DAY, -DAY, &old_member);
    write_member(folder, "alone", NULL, names, -DAY, DAY, &alone);
    write_member(folder, "patterned", &ca, "DNS:*.0.0.1,DNS:127.0.0.1,DNS:local*,DNS:*.cluster.example", -DAY, DAY,
                 &patterned);
    write_member(folder, "misnamed", &ca, "DNS:web.example", -DAY, DAY, &misnamed);
    write_member(folder, "strange", &other, names, -DAY, DAY, &strange);
    authority_free(&ca);
    authority_free(&other);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_secret),
        cmocka_unit_test(another_secret_or_cluster),
        cmocka_unit_test(two_secrets_while_one_replaces_the_other),
        cmocka_unit_test(certificates),
        cmocka_unit_test(every_kind_of_bad_certificate),
        cmocka_unit_test(an_address_is_no_name),
        cmocka_unit_test(a_name_for_all),
        cmocka_unit_test(secret_against_certificates),
        cmocka_unit_test(strangers_who_speak_tls),
        cmocka_unit_test(no_tls_at_all),
        cmocka_unit_test(bytes_before_proof_are_bounded),
        cmocka_unit_test(bad_settings),
        cmocka_unit_test(files_that_change),
        cmocka_unit_test(what_separates_secrets_in_a_file),
        cmocka_unit_test(what_a_file_may_hold),
        cmocka_unit_test(a_file_that_could_not_be_read_is_tried_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
