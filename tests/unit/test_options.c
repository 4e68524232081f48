/* Options: every name, every bad value with its text, every combination that cannot work. */
#include "trackers.h"

static void expect(const char *option, const char *value, int code, const char *part) {
    presence_config *config = presence_config_new();
    assert_int_equal(presence_config_set(config, option, value), code);
    const char *message = presence_config_message(config);
    if (code == 0) assert_string_equal(message, "");
    if (part && !strstr(message, part)) fail_msg("\"%s\" is not in \"%s\"", part, message);
    presence_config_free(config);
}

#define SECRET "correct horse battery staple"

static void expect_fit(const char *const *options, int code, const char *part) {
    presence_config *config = make_config(options);
    assert_int_equal(presence_config_check(config), code);
    if (!strstr(presence_config_message(config), part)) {
        fail_msg("\"%s\" is not in \"%s\"", part, presence_config_message(config));
    }
    presence_config_free(config);
}

static void defaults_are_accepted(void **state) {
    (void)state;
    const char *name, *fallback, *help;
    size_t count = 0;
    for (; (name = presence_option_at(count, &fallback, &help)); count++) {
        assert_non_null(fallback);
        assert_true(strlen(help) > 0);
        expect(name, fallback, 0, NULL);
    }
    assert_true(count >= 29);
    assert_null(presence_option_at(count, NULL, NULL));
    assert_null(presence_option_at(SIZE_MAX, &fallback, &help));
}

static void bad_values_name_option_and_limits(void **state) {
    (void)state;
    expect("color", "red", PRESENCE_EOPTION, "unknown option \"color\"");
    expect("", "red", PRESENCE_EOPTION, "unknown option");
    expect("heartbeat_ms", "19", PRESENCE_EOPTION, "heartbeat_ms must be a whole number from 20 to 60000, not \"19\"");
    static const char *const numbers[] = {"60001", "", "1e3", "-5", " 100", "100 ", "99999999999999999999", "0x10"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        expect("heartbeat_ms", numbers[i], PRESENCE_EOPTION, "heartbeat_ms");
    }
    expect("queue_bytes", "16383", PRESENCE_EOPTION, "16384");
    expect("meta_bytes", "65536", PRESENCE_EOPTION, "65535");
    expect("transport", "udp", PRESENCE_EOPTION, "mesh, memory or nats");
    expect("log_level", "loud", PRESENCE_EOPTION, "error, warning, info or debug");
    expect("observer", "yes", PRESENCE_EOPTION, "0 or 1");
    expect("cluster", "", PRESENCE_EOPTION, "1 to 64 bytes");
    expect("name", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", PRESENCE_EOPTION, "0 to 64");
    expect("name", "\xff", PRESENCE_EOPTION, "UTF-8");
    expect("name", "web-1", 0, NULL);
    expect("permdown_ms", "2592000000", 0, NULL);
}

static void addresses(void **state) {
    (void)state;
    static const char *const good[] = {"127.0.0.1:0", "127.0.0.1:7946-7961", "[::1]:7946", "localhost:1", ""};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) expect("listen", good[i], 0, NULL);
    static const char *const bad[] = {
        "127.0.0.1",     "127.0.0.1:",   ":7946",          "127.0.0.1:65536",   "::1:7946",  "127.0.0.1:9-8",
        "127.0.0.1:0-5", "127.0.0.1:1-", "host:1",         "127.0.0.1:1-10000", "[::1]7946", "127.0.0.1:7946x",
        "a b:1",         "[::1",         "127.0.0.1:1-2-3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) expect("listen", bad[i], PRESENCE_EOPTION, "listen");
    static const char *const remote[] = {"0.0.0.0:7946", "192.168.1.1:1", "[::]:1", "[2001:db8::1]:80"};
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++) {
        static const char *const options[] = {"listen", "join", "advertise"};
        for (size_t j = 0; j < 3; j++) {
            expect(options[j], remote[i], 0, NULL);
            expect_fit((const char *const[]){options[j], remote[i], NULL}, PRESENCE_EUNSUPPORTED, "beyond loopback");
            expect_fit((const char *const[]){options[j], remote[i], "insecure", "1", NULL}, 0, "");
            expect_fit((const char *const[]){options[j], remote[i], "secret", SECRET, NULL}, 0, "");
        }
    }
    expect("join", "127.0.0.1:7946, 127.0.0.1:7947-7950 ,[::1]:9,seed.example:1", 0, NULL);
    expect("join", "127.0.0.1:0", PRESENCE_EOPTION, "1 to 65535");
    expect("join", "127.0.0.1:7946,nonsense", PRESENCE_EOPTION, "nonsense");
    expect("join", "127.0.0.1:1-1000,127.0.0.1:2001-3000", PRESENCE_EOPTION, "at most 1024");
    expect("advertise", "127.0.0.1:1-2", PRESENCE_EOPTION, "port");
    expect("advertise", "127.0.0.1:5", 0, NULL);
}

static void unbuilt_features_are_refused_by_name(void **state) {
    (void)state;
    expect("nats_url", "nats:", PRESENCE_EUNSUPPORTED, "nats_url");
    expect("transport", "nats", PRESENCE_EUNSUPPORTED, "option transport: nats");
    expect("insecure", "0", 0, NULL);
    expect("insecure", "false", 0, NULL);
}

static void expect_open(const char *const *options, int code, const char *part) {
    presence_config *config = make_config(options);
    presence_tracker *tracker = (presence_tracker *)1;
    assert_int_equal(presence_tracker_open(config, &tracker), code);
    assert_null(tracker);
    if (!strstr(presence_config_message(config), part)) {
        fail_msg("\"%s\" is not in \"%s\"", part, presence_config_message(config));
    }
    presence_config_free(config);
}

static void security(void **state) {
    (void)state;
    expect("secret", "hunter2", PRESENCE_EOPTION, "option secret must be 1 to 4 secrets of 16 to 256 bytes");
    expect("secret", SECRET "," SECRET "," SECRET "," SECRET "," SECRET, PRESENCE_EOPTION, "1 to 4 secrets");
    expect("secret", SECRET ", " SECRET, 0, NULL);
    expect_fit((const char *const[]){"secret", SECRET, "secret_file", "f", NULL}, PRESENCE_EOPTION, "secret_file");
    expect_fit((const char *const[]){"secret", SECRET, "insecure", "1", NULL}, PRESENCE_EOPTION, "insecure excludes");
    expect_fit((const char *const[]){"secret_file", "f", "tls_ca", "c", NULL}, PRESENCE_EOPTION, "exclude");
    expect_fit((const char *const[]){"tls_cert", "c", "tls_ca", "c", NULL}, PRESENCE_EOPTION, "tls_key is missing");
    expect_fit((const char *const[]){"tls_name", "a.example", NULL}, PRESENCE_EOPTION, "tls_name needs");
    static const char *const patterns[] = {".example", "*.example", "a.*"};
    for (size_t i = 0; i < 3; i++) {
        const char *const all[] = {"tls_cert", "c", "tls_key", "k", "tls_ca", "a", "tls_name", patterns[i], NULL};
        expect_fit(all, PRESENCE_EOPTION, "not a pattern");
    }
    expect_fit((const char *const[]){"join", "there.example:1", NULL}, 0, ""); /* judged when it is resolved */
    expect_open((const char *const[]){"secret_file", "/nowhere/at/all", NULL}, PRESENCE_EOPTION, "option secret_file");
    expect_open((const char *const[]){"tls_cert", "/no", "tls_key", "/no", "tls_ca", "/no", NULL}, PRESENCE_EOPTION,
                "option tls_cert: \"/no\"");
}

static void impossible_combinations(void **state) {
    (void)state;
    const char *const suspect[] = {"suspect_ms", "1000", "heartbeat_ms", "1000", NULL};
    expect_open(suspect, PRESENCE_EOPTION,
                "suspect_ms (1000) must be 0 (adaptive) or at least twice heartbeat_ms (1000)");
    const char *const barely[] = {"suspect_ms", "1999", "heartbeat_ms", "1000", NULL};
    expect_open(barely, PRESENCE_EOPTION, "suspect_ms (1999) must be 0 (adaptive) or at least twice heartbeat_ms");
    const char *const permdown[] = {"permdown_ms", "10600", NULL};
    expect_open(permdown, PRESENCE_EOPTION, "permdown_ms (10600) must be greater than");
    const char *const advertise[] = {"listen", "", "advertise", "127.0.0.1:5", NULL};
    expect_open(advertise, PRESENCE_EOPTION, "advertise needs listen");
    const char *const observer[] = {"observer", "1", NULL};
    expect_open(observer, PRESENCE_EOPTION, "observer needs an empty listen");
}

static void environment(void **state) {
    (void)state;
    presence_config *config = presence_config_new();
    setenv("LIBPRESENCE_CLUSTER", "from-env", 1);
    assert_int_equal(presence_config_load_env(config), 0);
    setenv("LIBPRESENCE_HEARTBEAT_MS", "fast", 1);
    assert_int_equal(presence_config_load_env(config), PRESENCE_EOPTION);
    assert_non_null(strstr(presence_config_message(config), "LIBPRESENCE_HEARTBEAT_MS"));
    assert_non_null(strstr(presence_config_message(config), "20 to 60000"));
    unsetenv("LIBPRESENCE_HEARTBEAT_MS");
    setenv("LIBPRESENCE_SECRET", "x", 1);
    assert_int_equal(presence_config_load_env(config), PRESENCE_EOPTION);
    unsetenv("LIBPRESENCE_SECRET");
    unsetenv("LIBPRESENCE_CLUSTER");
    presence_config_free(config);
}

static void null_arguments(void **state) {
    (void)state;
    presence_config *config = presence_config_new();
    presence_tracker *tracker;
    assert_int_equal(presence_config_set(NULL, "name", "x"), PRESENCE_EINVAL);
    assert_int_equal(presence_config_set(config, NULL, "x"), PRESENCE_EINVAL);
    assert_int_equal(presence_config_set(config, "name", NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_config_load_env(NULL), PRESENCE_EINVAL);
    assert_string_equal(presence_config_message(NULL), "");
    assert_int_equal(presence_config_set_log(NULL, NULL, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_config_set_allocator(config, NULL, NULL, NULL, NULL), PRESENCE_EINVAL);
    assert_int_equal(presence_tracker_open(NULL, &tracker), PRESENCE_EINVAL);
    assert_int_equal(presence_tracker_open(config, NULL), PRESENCE_EINVAL);
    presence_config_free(config);
    presence_config_free(NULL);
}

static void a_failed_set_keeps_the_value(void **state) {
    (void)state;
    presence_config *config = presence_config_new();
    assert_int_equal(presence_config_set(config, "listen", ""), 0);
    assert_int_equal(presence_config_set(config, "listen", "bad"), PRESENCE_EOPTION);
    presence_tracker *tracker;
    char address[80];
    assert_int_equal(presence_tracker_open(config, &tracker), 0);
    assert_string_equal(presence_config_message(config), "");
    assert_int_equal(presence_tracker_address(tracker, address, sizeof address), 0);
    assert_string_equal(address, "");
    presence_tracker_close(tracker);
    presence_config_free(config);
}

static void facts(void **state) {
    (void)state;
    assert_string_equal(presence_version(), "0.1.0");
    assert_string_equal(presence_error_name(PRESENCE_EOPTION), "PRESENCE_EOPTION");
    for (int code = -26; code < 0; code++) {
        assert_memory_equal(presence_error_name(code), "PRESENCE_E", 10);
        assert_true(strlen(presence_strerror(code)) > 5);
    }
    assert_non_null(presence_strerror(12345));
    assert_non_null(presence_error_name(-12345));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_accepted),
        cmocka_unit_test(bad_values_name_option_and_limits),
        cmocka_unit_test(addresses),
        cmocka_unit_test(unbuilt_features_are_refused_by_name),
        cmocka_unit_test(impossible_combinations),
        cmocka_unit_test(security),
        cmocka_unit_test(environment),
        cmocka_unit_test(null_arguments),
        cmocka_unit_test(a_failed_set_keeps_the_value),
        cmocka_unit_test(facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
