/* Addresses as text, there and back, without a resolver. */
#include "address.h"
#include "trackers.h"

static void parse_and_format(void **state) {
    (void)state;
    static const struct {
        const char *text, *host, *formatted;
        int low, high;
        bool numeric, loopback;
    } cases[] = {
        {"127.0.0.1:7946", "127.0.0.1", "127.0.0.1:7946", 7946, 7946, true, true},
        {"127.255.0.9:0", "127.255.0.9", "127.255.0.9:0", 0, 0, true, true},
        {"[::1]:1-3", "::1", "[::1]:1", 1, 3, true, true},
        {"[::ffff:127.0.0.1]:9", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]:9", 9, 9, true, true},
        {"localhost:5", "localhost", "localhost:5", 5, 5, false, true},
        {"seed-1.example.org:65535", "seed-1.example.org", "seed-1.example.org:65535", 65535, 65535, false, false},
        {"10.0.0.1:80", "10.0.0.1", "10.0.0.1:80", 80, 80, true, false},
        {"[fe80::1]:80", "fe80::1", "[fe80::1]:80", 80, 80, true, false},
        {"128.0.0.1:80", "128.0.0.1", "128.0.0.1:80", 80, 80, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pr_address address;
        const char *why;
        char text[300];
        assert_int_equal(pr_address_parse(cases[i].text, &address, &why), 0);
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port_low, cases[i].low);
        assert_int_equal(address.port_high, cases[i].high);
        assert_int_equal(address.numeric, cases[i].numeric);
        assert_int_equal(address.loopback, cases[i].loopback);
        assert_true(pr_address_text(&address, address.port_low, text, sizeof text));
        assert_string_equal(text, cases[i].formatted);
        assert_false(pr_address_text(&address, address.port_low, text, strlen(cases[i].formatted)));
    }
}

static void what_is_no_address(void **state) {
    (void)state;
    char long_host[400];
    memset(long_host, 'h', sizeof long_host);
    snprintf(long_host + 300, sizeof long_host - 300, ":80");
    const char *const texts[] = {
        "",       ":",     ":80",    "host",    "host:",     "host:x", "host:-1",  "host:70000",
        "[::1]",  "[::1:", "::1:80", "[]:80",   "host:1-",   "h:5-4",  "h:0-1",    "h:1-1025",
        "h\n:80", "h :80", "h:80 ",  long_host, "[::1]x:80", "a/b:80", "h:1-2-3x", "h:00000000000000000065536"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        pr_address address;
        const char *why = NULL;
        if (pr_address_parse(texts[i], &address, &why) == 0) fail_msg("\"%s\" was taken", texts[i]);
        assert_non_null(why);
    }
}

static void sockets(void **state) {
    (void)state;
    pr_address v4, v6, name;
    const char *why;
    struct sockaddr_storage a, b;
    socklen_t size;
    char text[80];
    assert_int_equal(pr_address_parse("127.0.0.1:5", &v4, &why), 0);
    assert_int_equal(pr_address_parse("[::1]:5", &v6, &why), 0);
    assert_int_equal(pr_address_parse("example.org:5", &name, &why), 0);
    assert_false(pr_address_socket(&name, 5, &a, &size));
    assert_true(pr_address_socket(&v4, 5, &a, &size));
    assert_true(pr_address_socket(&v6, 5, &b, &size));
    assert_false(pr_socket_equal((struct sockaddr *)&a, (struct sockaddr *)&b));
    assert_true(pr_socket_text((struct sockaddr *)&b, text, sizeof text));
    assert_string_equal(text, "[::1]:5");
    assert_true(pr_address_socket(&v6, 6, &a, &size));
    assert_false(pr_socket_equal((struct sockaddr *)&a, (struct sockaddr *)&b));
    assert_true(pr_address_socket(&v6, 5, &a, &size));
    assert_true(pr_socket_equal((struct sockaddr *)&a, (struct sockaddr *)&b));
    assert_false(pr_socket_text((struct sockaddr *)&b, text, 7));
    memset(&a, 0, sizeof a);
    assert_false(pr_socket_text((struct sockaddr *)&a, text, sizeof text));
    assert_false(pr_socket_loopback((struct sockaddr *)&a));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_and_format),
        cmocka_unit_test(what_is_no_address),
        cmocka_unit_test(sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
